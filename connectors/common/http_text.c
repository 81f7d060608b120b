/* SPDX-License-Identifier: Apache-2.0 */
/* Headers, queries and addresses: what of HTTP is text. */
#include "common/http.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* ---- headers ----------------------------------------------------------------------------------------- */

static int token_char(unsigned char c) /* RFC 9110, 5.6.2 */
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

int http_token(tn_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (!token_char((unsigned char)name.s[i])) {
            return 0;
        }
    }
    return name.n != 0;
}

int http_plain(tn_str value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.s[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return 0;
        }
    }
    return 1;
}

tn_rc http_header(const tn_host *host, struct grow *to, tn_str name, tn_str value, tn_err *err)
{
    if (!http_token(name)) {
        return host->fail(
            err, TN_E_INVAL,
            "`%.*s` cannot be the name of a header: letters, digits and -_.!#$%%&'*+^`|~ "
            "can",
            (int)(name.n < 100 ? name.n : 100), name.s);
    }
    if (!http_plain(value)) {
        return host->fail(err, TN_E_INVAL, "the value of header %.*s has line breaks or controls",
                          (int)(name.n < 100 ? name.n : 100), name.s);
    }
    grow_put(to, name.s, name.n);
    grow_text(to, value.n != 0 ? ": " : ";"); /* ";" is how libcurl wants an empty one */
    grow_put(to, value.s, value.n);
    grow_text(to, "\r\n");
    return to->rc == TN_OK ? TN_OK : host->fail(err, to->rc, "the headers are too long");
}

/* What goes into headers as it is must not end them: a token is easily pasted with the end of its line. */
tn_rc http_check_conf(const tn_host *host, const struct http_conf *conf, tn_err *err)
{
    const char *auth = conf->auth != NULL ? conf->auth : "auto";
    int token = strcmp(auth, "bearer") == 0 || strcmp(auth, "apikey") == 0 ||
                strcmp(auth, "token") == 0;
    const struct {
        const char *name, *value;
    } parts[] = {{"application", conf->application}, {"password", token ? conf->password.s : NULL}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *v = parts[i].value;
        if (v != NULL && !http_plain((tn_str){v, strlen(v)})) {
            return host->fail(
                err, TN_E_CONFIG,
                "%s has a line break or another control character, which cannot stand in a "
                "header; was it pasted with the end of its line?",
                parts[i].name);
        }
    }
    return conf->proxy != NULL && strchr(conf->proxy, '@') != NULL
               ? host->fail(
                     err, TN_E_CONFIG,
                     "proxy has a user in it; proxy_user and proxy_password are for that, where "
                     "the password is kept secret")
               : TN_OK;
}

const char *http_find(const struct http_reply *r, const char *name)
{
    const char *p = r->headers.s, *end = p + r->headers.n;
    while (p != NULL && p < end) {
        const char *value = p + strlen(p) + 1;
        if (strcmp(p, name) == 0) {
            return value;
        }
        p = value + strlen(value) + 1;
    }
    return NULL;
}

void http_reply_free(struct http_reply *r)
{
    grow_free(&r->headers);
    grow_free(&r->body);
    grow_free(&r->url);
    *r = (struct http_reply){.status = 0};
}

int http_named(const char *line, const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(line, name, n) == 0 && (line[n] == ':' || line[n] == ';');
}

/* ---- URLs -------------------------------------------------------------------------------------------- */

tn_rc http_check_host(const tn_host *host, const char *name, tn_err *err)
{
    char shown[120];
    for (const char *p = name; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("/?#@\\", *p) != NULL) {
            http_shown(name, shown, sizeof shown);
            return host->fail(
                err, TN_E_CONFIG,
                "host is a name or an address alone, not `%s`; protocol says https, port "
                "the port",
                shown);
        }
    }
    return TN_OK;
}

/* What web servers say to a request without TLS where they speak TLS: nginx, Go, Apache. */
int http_wants_tls(const struct http_reply *r)
{
    static const char *const said[] = {"plain HTTP request was sent to HTTPS port",
                                       "HTTP request to an HTTPS server",
                                       "speaking plain HTTP to an SSL-enabled server port"};
    for (size_t i = 0; r->status == 400 && r->body.n != 0 && i < sizeof said / sizeof *said; i++) {
        if (memmem(r->body.s, r->body.n, said[i], strlen(said[i])) != NULL) {
            return 1;
        }
    }
    return 0;
}

/* Where the account or the host begins. A "://" further back, in a query, is none of a scheme's (RFC 3986, 3.1). */
const char *http_authority(const char *url)
{
    const char *end =
        url + strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    return end != url && strncmp(end, "://", 3) == 0 ? end + 3 : url;
}

void http_shown(const char *url, char *to, size_t cap)
{
    const char *rest = http_authority(url), *at = NULL;
    size_t before = (size_t)(rest - url);
    size_t n = strcspn(rest, before != 0 ? "/?#" : "?#"); /* no URL: it may be anywhere */
    for (size_t i = 0; i < n; i++) {
        at = rest[i] == '@' ? rest + i : at;
    }
    rest = at != NULL ? at + 1 : rest;
    snprintf(to, cap, "%.*s%.*s", (int)(before < 32 ? before : 32), url, (int)strcspn(rest, "?#"),
             rest);
}

void http_base(const struct http_conf *conf, const char *host, int64_t port, struct grow *ret)
{
    int tls = strcmp(conf->tls, "auto") == 0 ? strcmp(conf->protocol, "https") == 0
                                             : strcmp(conf->tls, "off") != 0;
    int v6 = strchr(host, ':') != NULL && host[0] != '[';
    grow_printf(ret, "%s://%s%s%s", tls ? "https" : "http", v6 ? "[" : "", host, v6 ? "]" : "");
    if (port != 0) {
        grow_printf(ret, ":%" PRId64, port);
    }
}

void http_escape(struct grow *to, tn_str text, const char *keep)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t from = 0, i = 0;
    for (; i < text.n; i++) {
        unsigned char c = (unsigned char)text.s[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c != 0 && (strchr("-._~", c) != NULL || strchr(keep, c) != NULL))) {
            continue;
        }
        const char code[3] = {'%', hex[c >> 4], hex[c & 15]};
        grow_put(to, text.s + from, i - from);
        grow_put(to, code, 3);
        from = i + 1;
    }
    grow_put(to, text.s + from, i - from);
}

/* A value of a query as text; 0: it is none that can stand there. */
static int scalar_text(const tn_val *v, char room[64], tn_str *ret)
{
    int n = 0;
    switch (v->type) {
    case TN_T_STR:
    case TN_T_DECIMAL:
        *ret = (tn_str){v->u.s, v->n};
        return 1;
    case TN_T_BYTES:
        *ret = (tn_str){(const char *)v->u.b, v->n};
        return 1;
    case TN_T_BOOL:
        *ret = v->u.i ? TN_STR("true") : TN_STR("false");
        return 1;
    case TN_T_INT:
        n = snprintf(room, 64, "%" PRId64, v->u.i);
        break;
    case TN_T_FLOAT:
        for (int digits = 15; digits <= 17; digits++) { /* the shortest that is the same number */
            double back = 0;
            n = snprintf(room, 64, "%.*g", digits, v->u.f);
            if (sscanf(room, "%lf", &back) == 1 && back == v->u.f) {
                break;
            }
        }
        break;
    default:
        return 0;
    }
    *ret = (tn_str){room, (size_t)n};
    return 1;
}

/* '?' before the first parameter, '&' before the others. */
static char joint(const struct grow *url)
{
    return url->n != 0 && memchr(url->s, '?', url->n) != NULL ? '&' : '?';
}

static tn_rc one_param(const tn_host *host, struct grow *url, const tn_val *key, const tn_val *v,
                       tn_err *err)
{
    char room[64], key_room[64];
    tn_str name, value;
    if (v->type == TN_T_NULL) {
        return TN_OK;
    }
    if (v->type == TN_T_LIST) {
        tn_rc rc = TN_OK;
        for (uint32_t i = 0; rc == TN_OK && i < v->n; i++) {
            rc = v->u.list[i].type == TN_T_LIST
                     ? host->fail(err, TN_E_INVAL, "lists in lists cannot stand in a query")
                     : one_param(host, url, key, &v->u.list[i], err);
        }
        return rc;
    }
    if (!scalar_text(key, key_room, &name) || !scalar_text(v, room, &value)) {
        return host->fail(
            err, TN_E_INVAL,
            "a query takes texts, numbers and lists of them; write other values as text");
    }
    grow_char(url, joint(url));
    http_escape(url, name, "");
    grow_char(url, '=');
    http_escape(url, value, "");
    return TN_OK;
}

tn_rc http_query(const tn_host *host, struct grow *url, const tn_val *params, tn_err *err)
{
    tn_rc rc = TN_OK;
    if (params->type == TN_T_NULL) {
        return TN_OK;
    }
    if (params->type == TN_T_STR) {
        const char *p = params->u.s;
        size_t n = params->n;
        if (n != 0 && (p[0] == '?' || p[0] == '&')) {
            p++;
            n--;
        }
        if (n != 0) {
            grow_char(url, joint(url));
            http_escape(url, (tn_str){p, n}, "!$&'()*+,;=:@/?%");
        }
        return TN_OK;
    }
    if (params->type == TN_T_MAP) {
        for (uint32_t i = 0; rc == TN_OK && i < params->n; i++) {
            rc = one_param(host, url, &params->u.map[i].key, &params->u.map[i].val, err);
        }
        return rc;
    }
    return host->fail(err, TN_E_INVAL, "a query is a dict or a text");
}

/* ---- addresses --------------------------------------------------------------------------------------- */

/* Blocks that are not the public internet (IANA's special-purpose registries). */
static const struct {
    uint8_t prefix[16];
    uint8_t bits;
} v4_blocks[] =
    {
        {{0}, 8},
        {{10}, 8},
        {{100, 64}, 10},
        {{127}, 8},
        {{169, 254}, 16},
        {{172, 16}, 12},
        {{192, 0, 0}, 24},
        {{192, 0, 2}, 24},
        {{192, 88, 99}, 24},
        {{192, 168}, 16},
        {{198, 18}, 15},
        {{198, 51, 100}, 24},
        {{203, 0, 113}, 24},
        {{224}, 4},
        {{240}, 4},
},
  v6_blocks[] = {
      /* of 2000::/3; nothing else is the public internet */
      {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
      {{0x20, 0x01, 0x00}, 23},       /* protocol assignments, Teredo */
      {{0x3f, 0xff}, 20},             /* documentation */
};

static int starts(const uint8_t *addr, const uint8_t *prefix, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(addr, prefix, whole) == 0 &&
           (rest == 0 || ((addr[whole] ^ prefix[whole]) >> (8 - rest)) == 0);
}

static int private_v4(const uint8_t *a)
{
    for (size_t i = 0; i < sizeof v4_blocks / sizeof *v4_blocks; i++) {
        if (starts(a, v4_blocks[i].prefix, v4_blocks[i].bits)) {
            return 1;
        }
    }
    return 0;
}

int http_private(const struct sockaddr *addr)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b}, six_to_four[2] = {0x20, 0x02};
    if (addr->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, addr, sizeof in);
        return private_v4((const uint8_t *)&in.sin_addr);
    }
    if (addr->sa_family != AF_INET6) {
        return 1; /* a Unix socket is as private as can be */
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, addr, sizeof in6);
    const uint8_t *a = in6.sin6_addr.s6_addr;
    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0) { /* another address inside */
        return private_v4(a + 12);
    }
    if (memcmp(a, six_to_four, 2) == 0) {
        return private_v4(a + 2);
    }
    if (a[0] >> 5 !=
        1) { /* not global unicast: loopback, local, multicast, what is not given out yet */
        return 1;
    }
    for (size_t i = 0; i < sizeof v6_blocks / sizeof *v6_blocks; i++) {
        if (starts(a, v6_blocks[i].prefix, v6_blocks[i].bits)) {
            return 1;
        }
    }
    return 0;
}
