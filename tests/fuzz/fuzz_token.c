/* SPDX-License-Identifier: Apache-2.0 */
/* Session tokens: only what carries our signature is accepted. Input: a token; it is tried as it is
 * and with a valid signature put behind it, so that the parsing of claims is reached as well. */
#include "plugins/api_dff/session.c"
#include "plugins/api_dff/util.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What session.c needs of its neighbours and does not reach here. */
struct api_context api;
const char *api_setting(const char *name, const char *dflt)
{
    return name != NULL ? dflt : NULL;
}
void api_error(tn_http_req *r, enum api_code c, const char *s, tn_str d, const char *f, ...)
{
    (void)r, (void)c, (void)s, (void)d, (void)f;
}
void api_fail(struct api_req *r, enum api_code c, const char *s, json_t *d, const char *f, ...)
{
    (void)r, (void)c, (void)s, (void)f;
    json_decref(d);
}
void api_fail_err(struct api_req *r, const tn_err *err)
{
    (void)r, (void)err;
}
json_t *store_one(tn_txn *t, const char *e, const char *c, tn_str v, const char *const *x,
                  uint32_t n, tn_err *err)
{
    (void)t, (void)e, (void)c, (void)v, (void)x, (void)n, (void)err;
    return NULL;
}

bool ak_present(const tn_http_req *r)
{
    (void)r;
    return false;
}
json_t *ak_owner(const tn_http_req *r, struct ak_refusal *why)
{
    (void)r;
    *why = (struct ak_refusal){.code = EUserAuth};
    return NULL;
}
void ak_check_later(tn_http_req *r, const tn_match *m,
                    void (*go_on)(tn_http_req *r, const tn_match *m))
{
    (void)r, (void)m, (void)go_on;
}
bool localhost_token_ok(const tn_http_req *r, tn_str given)
{
    (void)r, (void)given;
    return false;
}
json_t *integrated_user(struct api_req *r, const json_t *claims)
{
    (void)r, (void)claims;
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (api.jwt_key_len == 0) {
        if (sodium_init() < 0) {
            abort();
        }
        memset(api.jwt_key, 7, 32);
        api.jwt_key_len = 32;
    }
    json_t *claims = token_open((tn_str){(const char *)data, n});
    if (claims != NULL) {
        abort(); /* the key is not in the corpus */
    }
    struct str signed_ = {0};
    unsigned char mac[MAC];
    str_add(&signed_, (const char *)data, n);
    token_mac(str_view(&signed_).s, signed_.n, mac);
    str_char(&signed_, '.');
    add_b64(&signed_, mac, sizeof mac);
    claims = token_open(str_view(&signed_));
    if (claims != NULL && (!json_is_string(json_object_get(claims, "uid")) ||
                           json_integer_value(json_object_get(claims, "v")) != 3)) {
        abort();
    }
    json_decref(claims);
    str_free(&signed_);
    return 0;
}
