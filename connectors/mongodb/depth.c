/* SPDX-License-Identifier: Apache-2.0 */
/* Documents from scripts and servers: sound all the way down, and not deeper than anybody can read. */
#include "mongodb.h"

static bool walk(bson_iter_t *it, unsigned depth, const char **why)
{
    bson_iter_t inside;
    uint32_t n;
    const uint8_t *data;
    while (bson_iter_next(it)) {
        bson_type_t type = bson_iter_type(it);
        if (type == BSON_TYPE_DOCUMENT || type == BSON_TYPE_ARRAY) {
            if (depth >= MG_DEPTH_MAX) {
                *why = "it is nested deeper than 100 levels";
                return false;
            }
            if (!bson_iter_recurse(it, &inside)) {
                *why = "a document in it is damaged";
                return false;
            }
            if (!walk(&inside, depth + 1, why)) {
                return false;
            }
        } else if (type == BSON_TYPE_CODEWSCOPE) {
            bson_t scope;
            bson_iter_codewscope(it, &n, &n, &data);
            if (depth >= MG_DEPTH_MAX || !bson_init_static(&scope, data, n) ||
                !bson_iter_init(&inside, &scope) || !walk(&inside, depth + 1, why)) {
                *why = "the scope of a code in it is damaged or too deep";
                return false;
            }
        }
    }
    if (it->err_off != 0) {
        *why = "it is damaged";
        return false;
    }
    return true;
}

bool mg_sound(const bson_t *doc, const char **ret_why)
{
    bson_iter_t it;
    *ret_why = "it is no document";
    return bson_iter_init(&it, doc) && walk(&it, 0, ret_why);
}
