/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of rows that call a function. */
#include "target.h"
#include "rows.h"

#include <stdlib.h>
#include <string.h>

const struct field target_tag[] = {{.name = "tag", .type = F_STR, .max = 64}};

bool target_func_exists(struct change *c, const char *func_id)
{
    if (func_id == NULL) {
        return true;
    }
    tn_err err = TN_ERR_INIT;
    json_t *func = store_one(c->txn, "func", "id", text_of(func_id), NULL, 0, &err);
    if (func == NULL && err.rc == TN_E_NOTFOUND) {
        api_fail(c->r, EClientNotFound, NULL,
                 json_pack("{s:s, s:s}", "entity", "func", "id", func_id), "No such Func");
    } else if (func == NULL) {
        api_fail_err(c->r, &err);
    }
    json_decref(func);
    return func != NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Tags are a sorted set. */
static void tags_sort(json_t *data)
{
    json_t *tags = json_object_get(data, "tagsJSON");
    size_t n = json_array_size(tags);
    const char **list = n > 0 ? malloc(n * sizeof *list) : NULL;
    if (list == NULL) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        list[i] = json_string_value(json_array_get(tags, i));
    }
    qsort(list, n, sizeof *list, by_text);
    json_t *sorted = json_array();
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(list[i], list[i - 1]) != 0) {
            json_array_append_new(sorted, json_string(list[i]));
        }
    }
    free(list);
    json_object_set_new(data, "tagsJSON", sorted);
}

bool target_before_add(struct change *c, json_t *data)
{
    if (json_is_null(json_object_get(data, "id"))) {
        json_object_del(data, "id");
    }
    return target_before_modify(c, NULL, data);
}

bool target_before_modify(struct change *c, const json_t *old, json_t *data)
{
    (void)old;
    tags_sort(data);
    return target_func_exists(c, json_string_value(json_object_get(data, "funcId")));
}

tn_rc target_changed(struct api_req *r, tn_err *err)
{
    (void)r;
    return snapshot_reload(err);
}
