/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing and opening of one secret as a JSON text. */
#include "secret.h"

#include <string.h>

json_t *secret_crypt(const char *aad, const char *value, bool seal, tn_err *err)
{
    const tn_host_auth *auth = api.host->auth;
    tn_text out = {NULL, 0};
    if ((seal ? auth->seal : auth->open)(api.host->ctx, text_of(value), text_of(aad), &out, err) !=
        TN_OK) {
        return NULL;
    }
    json_t *text = json_stringn(out.s, out.n);
    if (!seal) {
        explicit_bzero(out.s, out.n);
    }
    api.host->free(api.host->ctx, out.s);
    if (text == NULL) {
        api.host->fail(err, TN_E_INTERNAL, "the secret of %s is not text", aad);
    }
    return text;
}
