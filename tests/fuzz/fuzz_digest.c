/* SPDX-License-Identifier: Apache-2.0 */
/* The Authorization header of Digest: never reads or writes beyond, values lie in the header's own room. */
#include "auth/digest/header.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct digest_header h;
    char room[USERNAME_MAX];
    const char *why = NULL;
    tn_str name;
    if (header_parse((tn_str){(const char *)data, n}, &h, &why) != TN_OK) {
        if (why == NULL) {
            abort();
        }
        return 0;
    }
    for (int i = 0; i < DIRECTIVES; i++) {
        const tn_str *v = &h.value[i];
        if (v->s != NULL && (v->s < h.text || v->s + v->n > h.text + sizeof h.text)) {
            abort();
        }
    }
    if (header_username(&h, room, &name) && (name.n == 0 || name.n > USERNAME_MAX)) {
        abort();
    }
    return 0;
}
