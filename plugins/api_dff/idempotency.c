/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and digests of requests that create work. What is stored are digests: keys of clients may be
 * long and may tell something. */
#include "idempotency.h"

#include <sodium.h>
#include <stdio.h>

const tn_http_pair idem_replayed = {{"Idempotency-Replayed", 20}, {"true", 4}};

/* Length first, so that no two lists of texts look the same. */
static void feed(crypto_generichash_state *st, tn_str t)
{
    uint64_t n = t.n;
    crypto_generichash_update(st, (const unsigned char *)&n, sizeof n);
    if (n > 0) {
        crypto_generichash_update(st, (const unsigned char *)t.s, t.n);
    }
}

static void finish(crypto_generichash_state *st, char ret[IDEM_HEX])
{
    unsigned char digest[32];
    crypto_generichash_final(st, digest, sizeof digest);
    sodium_bin2hex(ret, IDEM_HEX, digest, sizeof digest);
}

static void print_request(const tn_http_req *req, char ret[IDEM_HEX])
{
    crypto_generichash_state st;
    crypto_generichash_init(&st, NULL, 0, 32);
    feed(&st, req->path);
    for (uint32_t i = 0; i < req->nargs; i++) {
        if (!text_is(req->args[i].name, "xDFFAuthToken")) {
            feed(&st, req->args[i].name);
            feed(&st, req->args[i].value);
        }
    }
    if (req->nparts == 0) { /* the boundary of multipart bodies differs every time */
        feed(&st, (tn_str){(const char *)req->body, req->body != NULL ? req->body_len : 0});
    }
    for (uint32_t i = 0; i < req->nparts; i++) {
        const tn_http_part *p = &req->parts[i];
        char size[24];
        int n = snprintf(size, sizeof size, "%llu", (unsigned long long)p->size);
        feed(&st, p->name);
        feed(&st, p->filename);
        feed(&st, p->value);
        feed(&st, (tn_str){size, (size_t)n});
    }
    finish(&st, ret);
}

bool idem_read(const tn_http_req *req, tn_str who, struct idem *ret, struct call_refusal *why)
{
    tn_str key = tn_http_header(req, "idempotency-key");
    ret->given = key.s != NULL;
    if (!ret->given) {
        return true;
    }
    bool ok = key.n > 0 && key.n < sizeof ret->key;
    for (size_t i = 0; ok && i < key.n; i++) {
        ok = key.s[i] > ' ' && key.s[i] < 127;
    }
    if (!ok) {
        return call_refuse(why, EClientBadRequest, NULL,
                           "Idempotency-Key should be 1 to 255 visible ASCII characters");
    }
    memcpy(ret->key, key.s, key.n);
    ret->key[key.n] = '\0';
    snprintf(ret->who, sizeof ret->who, "%.*s", (int)(who.s != NULL ? who.n : 0),
             who.s != NULL ? who.s : "");
    print_request(req, ret->print);
    return true;
}

void idem_key(const struct idem *idem, uint32_t i, char ret[IDEM_HEX])
{
    crypto_generichash_state st;
    crypto_generichash_init(&st, NULL, 0, 32);
    feed(&st, text_of(idem->who));
    feed(&st, text_of(idem->key));
    feed(&st, (tn_str){(const char *)&i, sizeof i});
    finish(&st, ret);
}

bool idem_conflict(struct call_refusal *why)
{
    return call_refuse(why, EClientUnprocessable, "IdempotencyKeyReused",
                       "This Idempotency-Key was used with another request");
}
