/* SPDX-License-Identifier: Apache-2.0 */
/* Headers, queries, hosts and addresses of the HTTP layer: whatever a script or a server says, a header stays one line, what is escaped
 * reads back, and an address inside another is judged as itself. Input: name NUL value NUL the rest. */
#include "connectors/common/http.h"
#include "kernel/base/err.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const tn_host host = {.fail = err_set};

static void must(int holds)
{
    if (!holds) {
        abort();
    }
}

/* One line, its name found again, and nothing that would begin another. */
static void headers(tn_str name, tn_str value)
{
    struct grow to = {0};
    char room[4096];
    if (http_header(&host, &to, name, value, NULL) == TN_OK && name.n < sizeof room) {
        memcpy(room, name.s, name.n);
        room[name.n] = '\0';
        must(to.n >= 4 && memcmp(to.s + to.n - 2, "\r\n", 2) == 0 && http_named(to.s, room));
        for (size_t i = 0; i < to.n - 2; i++) {
            must(to.s[i] == '\t' || ((unsigned char)to.s[i] >= ' ' && to.s[i] != 0x7f));
        }
    }
    grow_free(&to);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What is escaped is printable, has no character of a URL's own, and reads back. */
static void escapes(tn_str text)
{
    struct grow to = {0};
    size_t k = 0;
    http_escape(&to, text, "");
    for (size_t i = 0; i < to.n; i++, k++) {
        char c = to.s[i];
        must(k < text.n && c > ' ' && c < 0x7f && strchr("/?#&=+@:", c) == NULL);
        if (c == '%') {
            must(i + 2 < to.n && digit(to.s[i + 1]) >= 0 && digit(to.s[i + 2]) >= 0);
            c = (char)(digit(to.s[i + 1]) * 16 + digit(to.s[i + 2]));
            i += 2;
        }
        must(c == text.s[k]);
    }
    must(k == text.n);
    grow_free(&to);
}

static void queries(tn_str name, tn_str value)
{
    const tn_val k = {.type = TN_T_STR, .n = (uint32_t)name.n, .u.s = name.s},
                 v = {.type = TN_T_STR, .n = (uint32_t)value.n, .u.s = value.s};
    const tn_pair pair[] = {{k, v}};
    const tn_val map = {.type = TN_T_MAP, .n = 1, .u.map = pair};
    struct grow url = {0};
    grow_text(&url, "http://h/");
    must(http_query(&host, &url, &map, NULL) == TN_OK && url.s[9] == '?');
    must(http_query(&host, &url, &v, NULL) == TN_OK);
    for (size_t i = 0; i < url.n; i++) {
        must(url.s[i] > ' ' && url.s[i] < 0x7f && url.s[i] != '#');
    }
    grow_free(&url);
}

/* An IPv4 address in the ways IPv6 has to write it: public or not, the answer is the same. */
static void addresses(const uint8_t *p)
{
    static const uint8_t before[3][12] = {
        {[10] = 0xff, [11] = 0xff}, {0x00, 0x64, 0xff, 0x9b}, {0x20, 0x02}};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    memcpy(&in.sin_addr, p, 4);
    int closed = http_private((const struct sockaddr *)&in);
    for (int i = 0; i < 3; i++) {
        memset(&in6.sin6_addr, 0, 16);
        memcpy(&in6.sin6_addr, before[i], 12);
        memcpy((uint8_t *)&in6.sin6_addr + (i == 2 ? 2 : 12), p, 4);
        must(http_private((const struct sockaddr *)&in6) == closed);
    }
    memcpy(&in6.sin6_addr, p, 16);
    if (p[0] >> 5 != 1 && memcmp(p, before[0], 12) != 0 && memcmp(p, before[1], 12) != 0) {
        must(http_private((const struct sockaddr *)&in6));
    }
}

/* Nothing of a user, a password or a query is shown; a host is no URL. */
static void shown(char *url)
{
    char to[64];
    http_shown(url, to, sizeof to);
    const char *rest = to;
    while (*rest != '\0' && strchr(":/?#@", *rest) == NULL) {
        rest++;
    }
    rest = rest != to && strncmp(rest, "://", 3) == 0 ? rest + 3 : to;
    must(strlen(to) < sizeof to && strpbrk(rest, "?#") == NULL);
    must(memchr(rest, '@', strcspn(rest, "/")) == NULL);
    if (http_check_host(&host, url, NULL) == TN_OK) {
        must(strpbrk(url, "/?#@ \r\n\t") == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *copy = malloc(n + 1); /* of exactly its size */
    tn_str part[3];
    if (n > 4000) {
        free(copy);
        return 0;
    }
    memcpy(copy, data, n);
    copy[n] = '\0';
    char *p = copy, *end = copy + n;
    for (int i = 0; i < 3; i++) {
        char *stop = i < 2 && p < end ? memchr(p, '\0', (size_t)(end - p)) : NULL;
        stop = stop != NULL ? stop : end;
        part[i] = (tn_str){p, (size_t)(stop - p)};
        p = stop < end ? stop + 1 : end;
    }
    headers(part[0], part[1]);
    headers(part[0], part[2]);
    escapes(part[2]);
    queries(part[0], part[2]);
    shown(copy);
    if (n >= 16) {
        addresses(data);
    }
    struct http_reply r = {.status = 400};
    grow_put(&r.headers, part[0].s, part[0].n);
    grow_char(&r.headers, '\0');
    grow_put(&r.headers, part[1].s, part[1].n);
    grow_char(&r.headers, '\0');
    grow_put(&r.body, part[2].s, part[2].n);
    char *name = calloc(1, part[0].n + 1);
    memcpy(name, part[0].s, part[0].n);
    const char *found = http_find(&r, name);
    must(found != NULL && strlen(found) == part[1].n);
    http_find(&r, "retry-after");
    http_wants_tls(&r);
    http_reply_free(&r);
    free(name);
    free(copy);
    return 0;
}
