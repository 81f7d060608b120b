/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments held against the table of their method ("topic:str, key=None"). */
#include "common/args.h"

#include <stdbool.h>
#include <string.h>

tn_rc args_complete(const tn_host *host, const tn_method *m, const tn_args *a, tn_val *all,
                    uint32_t max, tn_err *err)
{
    uint32_t i = 0;
    for (const char *p = m->args; *p != '\0'; i++) {
        size_t n = strcspn(p, ",");
        bool needed = memchr(p, '=', n) == NULL, text = memmem(p, n, ":str", 4) != NULL;
        if (needed && (a->npos <= i || (text && a->pos[i].type != TN_T_STR))) {
            return host->fail(err, TN_E_INVAL, "%s(%s): argument %u is missing, or is no text",
                              m->name, m->args, i + 1);
        }
        p += n;
        p += strspn(p, ", ");
    }
    if (a->npos > max || a->nkw != 0) {
        return host->fail(err, TN_E_INVAL, "%s(%s): at most %u arguments, by position", m->name,
                          m->args, i);
    }
    memset(all, 0, max * sizeof *all);
    if (a->npos != 0) {
        memcpy(all, a->pos, a->npos * sizeof *all);
    }
    return TN_OK;
}

const tn_val *args_member(const tn_val *map, const char *key)
{
    size_t n = strlen(key);
    for (uint32_t i = 0; i < map->n; i++) {
        const tn_val *k = &map->u.map[i].key;
        if (k->type == TN_T_STR && k->n == n && memcmp(k->u.s, key, n) == 0) {
            return &map->u.map[i].val;
        }
    }
    return NULL;
}
