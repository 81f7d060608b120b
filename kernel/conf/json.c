/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON object to items: configurations that stand in the store instead of a file. */
#include "kernel/conf/conf.h"

#include "kernel/base/err.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_BYTES_MAX (1u << 20)
#define JSON_KEY_MAX   256
#define JSON_DEPTH_MAX 8

/* A list of scalars as "a,b"; NULL when it holds anything else (or memory is out). */
static char *joined(const json_t *list)
{
    struct buf out = BUF_INIT(JSON_BYTES_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (i != 0) {
            buf_addc(&out, ',');
        }
        if (json_is_string(v)) {
            buf_add(&out, json_string_value(v), json_string_length(v));
        } else if (json_is_integer(v)) {
            buf_addi(&out, json_integer_value(v));
        } else {
            buf_finish(&out);
            return NULL;
        }
    }
    return buf_take(&out, NULL);
}

static tn_rc put(struct conf *c, const char *key, const json_t *v, const char *where,
                 unsigned depth, tn_err *err);

static tn_rc put_object(struct conf *c, const char *prefix, const json_t *o, const char *where,
                        unsigned depth, tn_err *err)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        char full[JSON_KEY_MAX];
        if (snprintf(full, sizeof full, "%s%s%s", prefix, prefix[0] ? "." : "", key) >=
            (int)sizeof full) {
            return err_set(err, TN_E_CONFIG, "%s: a key is longer than %d bytes: %.60s…", where,
                           JSON_KEY_MAX - 1, key);
        }
        tn_rc rc = put(c, full, v, where, depth, err);
        if (rc != TN_OK) {
            return rc;
        }
    }
    return TN_OK;
}

static tn_rc put(struct conf *c, const char *key, const json_t *v, const char *where,
                 unsigned depth, tn_err *err)
{
    if (json_is_null(v)) {
        return TN_OK; /* as if it were not there: the default counts */
    }
    if (json_is_object(v)) {
        return depth < JSON_DEPTH_MAX
                   ? put_object(c, key, v, where, depth + 1, err)
                   : err_set(err, TN_E_CONFIG, "%s: %s is nested too deeply", where, key);
    }
    if (json_is_string(v)) {
        return conf_set(c, key, json_string_value(v), where);
    }
    char *list = json_is_array(v) ? joined(v) : NULL;
    char *text = list != NULL ? list : json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    tn_rc rc = text != NULL ? conf_set(c, key, text, where)
                            : err_set(err, TN_E_NOMEM, "%s: no memory for %s", where, key);
    free(text);
    return rc;
}

tn_rc conf_read_json(struct conf *c, const char *where, tn_str text, tn_err *err)
{
    json_error_t at;
    if (text.n > JSON_BYTES_MAX) {
        return err_set(err, TN_E_LIMIT, "%s: %zu bytes are more than %u", where, text.n,
                       JSON_BYTES_MAX);
    }
    json_t *o = json_loadb(text.s != NULL ? text.s : "", text.n, JSON_REJECT_DUPLICATES, &at);
    if (!json_is_object(o)) {
        json_decref(o);
        return err_set(err, TN_E_CONFIG, "%s is no JSON object", where);
    }
    tn_rc rc = put_object(c, "", o, where, 0, err);
    json_decref(o);
    return rc;
}

void conf_wipe(struct conf *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->items[i].value != NULL) {
            explicit_bzero(c->items[i].value, strlen(c->items[i].value));
        }
        if (c->items[i].joined != NULL) {
            explicit_bzero(c->items[i].joined, strlen(c->items[i].joined));
        }
    }
    conf_finish(c);
}

void conf_snake(const char *key, char *out, size_t cap)
{
    size_t n = 0;
    for (const char *p = key; *p != '\0' && n + 2 < cap; p++) {
        bool up = *p >= 'A' && *p <= 'Z';
        bool after_low = p > key && !(p[-1] >= 'A' && p[-1] <= 'Z');
        bool before_low = p > key && p[1] >= 'a' && p[1] <= 'z';
        if (up && p[-(p > key)] != '.' && (after_low || before_low)) {
            out[n++] = '_';
        }
        out[n++] = (char)(up ? *p + 32 : *p);
    }
    out[n] = '\0';
}
