/* SPDX-License-Identifier: Apache-2.0 */
/* Signing requests as AWS wants it. */
#include "common/aws4.h"
#include "common/civil.h"
#include "common/http.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PARAMS_MAX 256

static void hex(const uint8_t *p, size_t n, char *to)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        to[2 * i] = digits[p[i] >> 4];
        to[2 * i + 1] = digits[p[i] & 15];
    }
    to[2 * n] = '\0';
}

static void sha256(const void *p, size_t n, char ret[65])
{
    uint8_t sum[32] = {0};
    EVP_Digest(n != 0 ? p : "", n, sum, NULL, EVP_sha256(), NULL);
    hex(sum, 32, ret);
}

static void keyed(const void *key, size_t nkey, const char *text, uint8_t ret[32])
{
    unsigned n = 32;
    HMAC(EVP_sha256(), key, (int)nkey, (const uint8_t *)text, strlen(text), ret, &n);
}

/* ---- the canonical request ---------------------------------------------------------------------------- */

struct parts {
    tn_str host, path, query;
    bool tls;
};

static struct parts cut(const char *url)
{
    const char *host = http_authority(url);
    size_t n = strcspn(host, "/?#");
    const char *path = host + n, *at = memrchr(host, '@', n);
    size_t np = strcspn(path, "?#"), nq = path[np] == '?' ? strcspn(path + np + 1, "#") : 0;
    struct parts p = {{host, n}, {path, np}, {nq != 0 ? path + np + 1 : "", nq}, false};
    if (at != NULL) {
        p.host = (tn_str){at + 1, n - (size_t)(at + 1 - host)};
    }
    /* what libcurl leaves out of the header Host */
    p.tls = strncasecmp(url, "https:", 6) == 0;
    const char *dflt = p.tls ? ":443" : ":80";
    size_t nd = strlen(dflt);
    if (p.host.n > nd && memcmp(p.host.s + p.host.n - nd, dflt, nd) == 0) {
        p.host.n -= nd;
    }
    return p;
}

/* The header Host, in lower case. */
static void put_host(const struct aws4 *keys, const struct parts *p, struct grow *ret)
{
    tn_str host = p->host, port = {NULL, 0};
    if (p->tls && keys->server_name != NULL && keys->server_name[0] != '\0') {
        const char *colon = memrchr(host.s, ':', host.n), *close = memchr(host.s, ']', host.n);
        if (colon != NULL && colon > close) {
            port = (tn_str){colon, (size_t)(host.s + host.n - colon)};
        }
        host = (tn_str){keys->server_name, strlen(keys->server_name)};
    }
    for (size_t i = 0; i < host.n; i++) {
        char c = host.s[i];
        grow_char(ret, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
    }
    grow_put(ret, port.s, port.n);
}

static int by_name(const void *a, const void *b)
{
    const tn_str *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int c = memcmp(x->s, y->s, n);
    return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
}

/* Parameters by name; one without a value gets an empty one. */
static void put_query(tn_str query, struct grow *ret)
{
    tn_str params[PARAMS_MAX];
    size_t n = 0;
    for (size_t from = 0; from < query.n && n < PARAMS_MAX;) {
        const char *end = memchr(query.s + from, '&', query.n - from);
        size_t len = end != NULL ? (size_t)(end - query.s) - from : query.n - from;
        if (len != 0) {
            params[n++] = (tn_str){query.s + from, len};
        }
        from += len + 1;
    }
    qsort(params, n, sizeof *params, by_name);
    for (size_t i = 0; i < n; i++) {
        if (i != 0) {
            grow_char(ret, '&');
        }
        grow_put(ret, params[i].s, params[i].n);
        if (memchr(params[i].s, '=', params[i].n) == NULL) {
            grow_char(ret, '=');
        }
    }
}

void aws4_canonical(const struct aws4 *keys, const char *method, const char *url, const char *date,
                    const char *body_hash, struct grow *ret)
{
    struct parts p = cut(url);
    grow_printf(ret, "%s\n", method);
    if (p.path.n == 0) {
        grow_char(ret, '/');
    } else if (strcmp(keys->service, "s3") == 0) {
        grow_put(ret, p.path.s, p.path.n);
    } else {
        http_escape(ret, p.path, "/"); /* what is encoded in the URL is encoded once more */
    }
    grow_char(ret, '\n');
    put_query(p.query, ret);
    grow_text(ret, "\nhost:");
    put_host(keys, &p, ret);
    grow_printf(
        ret, "\nx-amz-content-sha256:%s\nx-amz-date:%s\n\nhost;x-amz-content-sha256;x-amz-date\n%s",
        body_hash, date, body_hash);
}

/* ---- the signature ------------------------------------------------------------------------------------ */

/* Chain of keys: date, region, service, "aws4_request"; then the text. */
static void signature(const struct aws4 *keys, const char *day, const char *text, char ret[65])
{
    uint8_t key[32], next[32];
    char first[512];
    int n = snprintf(first, sizeof first, "AWS4%s", keys->secret);
    keyed(first, (size_t)n < sizeof first ? (size_t)n : sizeof first - 1, day, key);
    const char *const steps[] = {keys->region, keys->service, "aws4_request", text};
    for (size_t i = 0; i < 4; i++) {
        keyed(key, 32, steps[i], next);
        memcpy(key, next, 32);
    }
    hex(key, 32, ret);
}

tn_rc aws4_sign(const tn_host *host, const struct aws4 *keys, const char *method, const char *url,
                const void *body, size_t body_len, int64_t wall_us, struct grow *headers,
                tn_err *err)
{
    char date[32], day[16], body_hash[65], hash[65], sum[65];
    int64_t seconds = wall_us / 1000000, days = seconds / 86400, y;
    int m, d, left = (int)(seconds % 86400);
    struct grow text = {0};
    const char *const plain[] = {keys->key_id, keys->region, keys->service};
    for (size_t i = 0; i < 3; i++) {
        if (!http_plain((tn_str){plain[i], strlen(plain[i])})) {
            return host->fail(err, TN_E_CONFIG,
                              "%s of auth aws has a line break or another control character",
                              i == 0   ? "user"
                              : i == 1 ? "region"
                                       : "service");
        }
    }
    civil_date(days, &y, &m, &d);
    snprintf(day, sizeof day, "%04d%02d%02d", (int)y % 10000, m % 100, d % 100);
    snprintf(date, sizeof date, "%sT%02d%02d%02dZ", day, left / 3600, left / 60 % 60, left % 60);
    sha256(body, body_len, body_hash);
    aws4_canonical(keys, method, url, date, body_hash, &text);
    sha256(text.s, text.n, hash);
    tn_rc rc = text.rc;
    grow_clear(&text);
    grow_printf(&text, "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s", date, day, keys->region,
                keys->service, hash);
    if (rc == TN_OK && text.rc == TN_OK) {
        signature(keys, day, text.s, sum);
        grow_printf(headers,
                    "X-Amz-Date: %s\r\nX-Amz-Content-Sha256: %s\r\nAuthorization: AWS4-HMAC-SHA256 "
                    "Credential=%s/%s/%s/%s/aws4_request, "
                    "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=%s\r\n",
                    date, body_hash, keys->key_id, day, keys->region, keys->service, sum);
    }
    rc = rc == TN_OK ? text.rc : rc;
    rc = rc == TN_OK ? headers->rc : rc;
    grow_free(&text);
    return rc == TN_OK ? TN_OK : host->fail(err, rc, "no memory for a signature");
}
