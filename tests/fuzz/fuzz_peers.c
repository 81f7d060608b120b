/* SPDX-License-Identifier: Apache-2.0 */
/* Trusted proxies and X-Forwarded-For: the client that is believed stands in the list, everything to its right is a trusted
 * proxy. Input: the setting trusted_proxies up to a line feed, the header. */
#include "plugins/http_common/peers.c"
#include "kernel/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t now_ns(void)
{
    return 1;
}
static const tn_host host = {.size = sizeof host, .fail = err_set, .now_ns = now_ns};
const tn_host *fe_host = &host;

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Is the address of that text a trusted proxy? */
static bool is_proxy(const struct peers *p, tn_str item)
{
    struct key k;
    bool v4;
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6};
    must(key_parse(item, &k, &v4));
    memcpy(&sa.sin6_addr, k.b, sizeof k.b);
    return peers_trusted(p, (const struct sockaddr *)&sa);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *lf = n != 0 ? memchr(data, '\n', n) : NULL;
    size_t trusted_n = lf != NULL ? (size_t)(lf - data) : n,
           size = lf != NULL ? n - trusted_n - 1 : 0;
    char *trusted = malloc(trusted_n + 1), *exact = malloc(size > 0 ? size : 1);
    tn_err err = TN_ERR_INIT;
    must(trusted != NULL && exact != NULL);
    memcpy(trusted, data, trusted_n);
    trusted[trusted_n] = '\0';
    memcpy(exact, lf != NULL ? (const char *)lf + 1 : "", size);
    struct peers *p = peers_create(trusted, &err);
    must(p != NULL || err.msg[0] != '\0');
    tn_str list = {exact, size}, found = p != NULL ? peers_forwarded(p, list) : (tn_str){NULL, 0};
    if (found.s != NULL) {
        must(found.n != 0 && found.s >= exact && found.s + found.n <= exact + size);
        const char *end = exact + size, *at = memchr(found.s, ',', (size_t)(end - found.s));
        while (at != NULL) {
            const char *from = at + 1;
            at = memchr(from, ',', (size_t)(end - from));
            must(is_proxy(p, text_trim((tn_str){from, (size_t)((at != NULL ? at : end) - from)})));
        }
        (void)is_proxy(p, found); /* an address at least */
    }
    peers_destroy(p);
    free(trusted);
    free(exact);
    return 0;
}
