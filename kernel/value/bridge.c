/* SPDX-License-Identifier: Apache-2.0 */
/* Between tn_val / tn_sink and Jansson trees. */
#include "kernel/value/bridge.h"
#include "kernel/base/err.h"
#include "kernel/base/list.h"
#include "kernel/base/str.h"

#include <stdlib.h>
#include <string.h>

tn_rc bridge_parse(tn_str text, json_t **ret, tn_err *err)
{
    json_error_t problem;
    tn_rc rc = json_scan(text, NULL, NULL, 0, NULL, err);
    if (rc) {
        return rc;
    }
    json_t *j = json_loadb(text.s, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
    if (!j) {
        return err_set(err, TN_E_INVAL, "JSON is wrong at byte %d: %s", problem.position,
                       problem.text);
    }
    *ret = j;
    return TN_OK;
}

static tn_rc no_memory(tn_err *err)
{
    return err_set(err, TN_E_NOMEM, "no memory for a JSON tree");
}

/* TIME, DATE, BYTES and DECIMAL look as json_write() writes them. */
static tn_rc by_text(const tn_val *v, json_t **ret, tn_err *err)
{
    struct buf text = BUF_INIT(0);
    tn_rc rc = json_write(&text, v, err);
    if (rc == TN_OK) {
        /* A decimal with more digits than an integer holds stays text: no digit is lost. */
        json_t *j = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        j = j ? j : json_stringn(text.data, text.len);
        *ret = j;
        rc = j ? TN_OK : no_memory(err);
    }
    buf_finish(&text);
    return rc;
}

static tn_rc to_json(const tn_val *v, uint32_t depth, json_t **ret, tn_err *err)
{
    json_t *j = NULL;
    switch (v->type) {
    case TN_T_NULL:
        j = json_null();
        break;
    case TN_T_BOOL:
        j = json_boolean(v->u.i);
        break;
    case TN_T_INT:
        j = json_integer(v->u.i);
        break;
    case TN_T_FLOAT:
        j = json_real(v->u.f);
        j = j ? j : json_null(); /* Jansson has no NaN and no infinity; JSON neither */
        break;
    case TN_T_STR:
        if (v->flags & TN_V_JSON || !(j = json_stringn(v->u.s ? v->u.s : "", v->n))) {
            return by_text(v, ret, err);
        }
        break;
    case TN_T_LIST:
    case TN_T_MAP:
        if (depth >= JSON_MAX_DEPTH) {
            return err_set(err, TN_E_LIMIT, "a value is nested deeper than %d levels",
                           JSON_MAX_DEPTH);
        }
        j = v->type == TN_T_MAP ? json_object() : json_array();
        for (uint32_t i = 0; j && i < v->n; i++) {
            const tn_val *key = v->type == TN_T_MAP ? &v->u.map[i].key : NULL;
            json_t *item = NULL;
            tn_rc rc = key && key->type != TN_T_STR
                           ? err_set(err, TN_E_INVAL, "a map key of type %d cannot be JSON",
                                     key->type)
                           : to_json(key ? &v->u.map[i].val : &v->u.list[i], depth + 1, &item, err);
            if (rc == TN_OK) {
                char *name = key ? str_dup((tn_str){key->u.s ? key->u.s : "", key->n}) : NULL;
                int bad = key ? !name || json_object_set_new(j, name, item)
                              : json_array_append_new(j, item);
                rc = bad ? err_set(err, TN_E_INVAL, "a map key is not UTF-8") : TN_OK;
                free(name);
            }
            if (rc) {
                json_decref(j);
                return rc;
            }
        }
        break;
    default:
        return by_text(v, ret, err);
    }
    *ret = j;
    return j ? TN_OK : no_memory(err);
}

tn_rc bridge_to_json(const tn_val *v, json_t **ret, tn_err *err)
{
    return to_json(v, 0, ret, err);
}

static tn_rc from_json(const json_t *j, struct arena *a, uint32_t depth, tn_val *ret, tn_err *err)
{
    memset(ret, 0, sizeof *ret);
    switch (json_typeof(j)) {
    case JSON_NULL:
        return TN_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        ret->type = TN_T_BOOL;
        ret->u.i = json_is_true(j);
        return TN_OK;
    case JSON_INTEGER:
        ret->type = TN_T_INT;
        ret->u.i = json_integer_value(j);
        return TN_OK;
    case JSON_REAL:
        ret->type = TN_T_FLOAT;
        ret->u.f = json_real_value(j);
        return TN_OK;
    case JSON_STRING:
        if (json_string_length(j) > UINT32_MAX) {
            return err_set(err, TN_E_LIMIT, "a text is larger than 4 GiB");
        }
        ret->type = TN_T_STR;
        ret->n = (uint32_t)json_string_length(j);
        ret->u.s = json_string_value(j);
        return TN_OK;
    default:
        break;
    }
    if (depth >= JSON_MAX_DEPTH) {
        return err_set(err, TN_E_LIMIT, "a value is nested deeper than %d levels", JSON_MAX_DEPTH);
    }
    tn_rc rc = TN_OK;
    uint32_t i = 0;
    if (json_is_array(j)) {
        size_t n = json_array_size(j);
        tn_val *list = n ? arena_alloc(a, n * sizeof *list) : NULL;
        if (n > UINT32_MAX || (n && !list)) {
            return no_memory(err);
        }
        for (; i < n && rc == TN_OK; i++) {
            rc = from_json(json_array_get(j, i), a, depth + 1, &list[i], err);
        }
        ret->type = TN_T_LIST;
        ret->u.list = list;
        ret->n = (uint32_t)n;
        return rc;
    }
    size_t n = json_object_size(j);
    tn_pair *map = n ? arena_alloc(a, n * sizeof *map) : NULL;
    if (n > UINT32_MAX || (n && !map)) {
        return no_memory(err);
    }
    const char *key;
    json_t *item;
    json_t *object = (json_t *)(uintptr_t)j; /* Jansson's iterators take no const */
    json_object_foreach(object, key, item)
    {
        map[i].key.type = TN_T_STR; /* NOLINT(clang-analyzer-core.NullDereference): n of them */
        map[i].key.n = (uint32_t)strlen(key);
        map[i].key.u.s = key;
        if ((rc = from_json(item, a, depth + 1, &map[i++].val, err))) {
            return rc;
        }
    }
    ret->type = TN_T_MAP;
    ret->u.map = map;
    ret->n = (uint32_t)n;
    return TN_OK;
}

tn_rc bridge_from_json(const json_t *j, struct arena *a, tn_val *ret, tn_err *err)
{
    return from_json(j, a, 0, ret, err);
}

/* ---- the sink -------------------------------------------------------------------------------- */

static struct bridge_sink *self(tn_sink *sink)
{
    return container_of(sink, struct bridge_sink, sink);
}

/* Puts a new value where it belongs; takes it in every case. */
static tn_rc place_take(struct bridge_sink *s, json_t *j)
{
    int bad = 0;
    if (!j) {
        return no_memory(s->err);
    }
    if (s->depth == 0) {
        if (s->root) {
            json_decref(j);
            return err_set(s->err, TN_E_INTERNAL, "a connector described two results");
        }
        s->root = j;
        return TN_OK;
    }
    json_t *top = s->stack[s->depth - 1];
    if (json_is_array(top)) {
        bad = json_array_append_new(top, j);
    } else if (s->key) {
        bad = json_object_set_new(top, s->key, j);
        free(s->key);
        s->key = NULL;
    } else {
        json_decref(j);
        return err_set(s->err, TN_E_INTERNAL, "a connector described a value without its key");
    }
    return bad ? err_set(s->err, TN_E_INVAL, "a key in a result is not UTF-8") : TN_OK;
}

static tn_rc push_take(struct bridge_sink *s, json_t *j)
{
    if (s->depth == JSON_MAX_DEPTH) {
        json_decref(j);
        return err_set(s->err, TN_E_LIMIT, "a result is nested deeper than %d levels",
                       JSON_MAX_DEPTH);
    }
    tn_rc rc = place_take(s, j);
    if (rc == TN_OK) {
        s->stack[s->depth++] = j;
    }
    return rc;
}

static tn_rc pop(tn_sink *sink, int array)
{
    struct bridge_sink *s = self(sink);
    if (s->depth == 0 || s->key || !json_is_array(s->stack[s->depth - 1]) != !array) {
        return err_set(s->err, TN_E_INTERNAL, "a connector ended what it had not begun");
    }
    s->depth--;
    return TN_OK;
}

static tn_rc on_scalar(tn_sink *sink, const tn_val *v)
{
    json_t *j = NULL;
    tn_rc rc = to_json(v, self(sink)->depth, &j, self(sink)->err);
    return rc ? rc : place_take(self(sink), j);
}

static tn_rc on_list_begin(tn_sink *sink, int64_t hint)
{
    (void)hint;
    return push_take(self(sink), json_array());
}

static tn_rc on_list_end(tn_sink *sink)
{
    return pop(sink, 1);
}

static tn_rc on_map_begin(tn_sink *sink, int64_t hint)
{
    (void)hint;
    return push_take(self(sink), json_object());
}

static tn_rc on_key(tn_sink *sink, const char *key, uint32_t len)
{
    struct bridge_sink *s = self(sink);
    free(s->key);
    s->key = str_dup((tn_str){key, len});
    return s->key ? TN_OK : no_memory(s->err);
}

static tn_rc on_map_end(tn_sink *sink)
{
    return pop(sink, 0);
}

static tn_rc on_table_begin(tn_sink *sink, const tn_col *cols, uint32_t ncols, int64_t hint)
{
    self(sink)->cols = cols;
    self(sink)->ncols = ncols;
    return on_list_begin(sink, hint);
}

static tn_rc on_row(tn_sink *sink, const tn_val *cells)
{
    struct bridge_sink *s = self(sink);
    tn_rc rc = on_map_begin(sink, s->ncols);
    for (uint32_t i = 0; i < s->ncols && rc == TN_OK; i++) {
        if ((rc = on_key(sink, s->cols[i].name, s->cols[i].name_len)) == TN_OK) {
            rc = on_scalar(sink, &cells[i]);
        }
    }
    return rc ? rc : on_map_end(sink);
}

static tn_rc on_table_end(tn_sink *sink, int64_t affected)
{
    (void)affected;
    return on_list_end(sink);
}

void bridge_sink_init(struct bridge_sink *s, tn_err *err)
{
    static const tn_sink_ops ops = {
        .size = sizeof ops,
        .scalar = on_scalar,
        .list_begin = on_list_begin,
        .list_end = on_list_end,
        .map_begin = on_map_begin,
        .key = on_key,
        .map_end = on_map_end,
        .table_begin = on_table_begin,
        .row = on_row,
        .table_end = on_table_end,
    };
    memset(s, 0, sizeof *s);
    s->sink.ops = &ops;
    s->sink.self = s;
    s->err = err;
}

void bridge_sink_finish(struct bridge_sink *s)
{
    json_decref(s->root);
    free(s->key);
    s->root = NULL;
    s->key = NULL;
    s->depth = 0;
}

json_t *bridge_sink_take(struct bridge_sink *s)
{
    json_t *j = s->depth == 0 ? s->root : NULL;
    if (j) {
        s->root = NULL;
    }
    return j;
}
