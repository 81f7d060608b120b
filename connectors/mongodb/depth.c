/* SPDX-License-Identifier: Apache-2.0 */
/* Documents from scripts and servers: sound all the way down, and not deeper than anybody can read. */
#include "mongodb.h"

const char mg_too_deep[] = "it is nested deeper than 100 levels";

static bool walk(const uint8_t *data, uint32_t n, unsigned depth, const char **why);

/* What a value has inside; a value without is sound. */
static bool inside(const bson_iter_t *it, unsigned depth, const char **why)
{
    const uint8_t *data = NULL;
    uint32_t code, n = 0;
    switch (bson_iter_type(it)) {
    case BSON_TYPE_DOCUMENT:
        bson_iter_document(it, &n, &data);
        break;
    case BSON_TYPE_ARRAY:
        bson_iter_array(it, &n, &data);
        break;
    case BSON_TYPE_CODEWSCOPE:
        bson_iter_codewscope(it, &code, &n, &data);
        break;
    default:
        return true;
    }
    if (depth >= MG_DEPTH_MAX) {
        *why = mg_too_deep;
        return false;
    }
    return walk(data, n, depth + 1, why);
}

/* libbson wants its own view of each: an iterator alone does not look at a document's last byte. */
static bool walk(const uint8_t *data, uint32_t n, unsigned depth, const char **why)
{
    bson_t doc;
    bson_iter_t it;
    if (data == NULL || !bson_init_static(&doc, data, n) || !bson_iter_init(&it, &doc)) {
        *why = depth == 0 ? "it is no document" : "a document in it is damaged";
        return false;
    }
    while (bson_iter_next(&it)) {
        if (!inside(&it, depth, why)) {
            return false;
        }
    }
    if (it.err_off != 0) {
        *why = "it is damaged";
        return false;
    }
    return true;
}

bool mg_sound(const bson_t *doc, const char **ret_why)
{
    return walk(bson_get_data(doc), doc->len, 0, ret_why);
}
