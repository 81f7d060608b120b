/* SPDX-License-Identifier: Apache-2.0 */
/* Building a snapshot from the store's rows, and looking things up in it. */
#include "snapshot_int.h"
#include "gate.h"

tn_str snap_row_text(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return json_is_string(v) ? (tn_str){json_string_value(v), json_string_length(v)}
                             : (tn_str){NULL, 0};
}

int64_t snap_row_int(const json_t *row, const char *key, int64_t dflt)
{
    const json_t *v = json_object_get(row, key);
    return json_is_integer(v) ? json_integer_value(v) : json_is_boolean(v) ? json_is_true(v) : dflt;
}

/* A JSON column: text in most stores, parsed already in some. The result belongs to the caller. */
json_t *snap_row_json(const json_t *row, const char *key)
{
    json_t *v = json_object_get(row, key);
    if (json_is_string(v)) {
        return json_loadb(json_string_value(v), json_string_length(v), JSON_DECODE_ANY, NULL);
    }
    return json_incref(v);
}

/* What a snapshot is made from, in an order in which later rows find what they point to. */
static const struct source {
    const char *name, *sql;
    tn_rc (*add)(const tn_host *host, struct snapshot *s, const json_t *row);
} sources[] = {
    {"scripts", "SELECT id, codeMD5, publishVersion FROM biz_main_script", snap_add_script},
    {"functions", "SELECT id, scriptId, name, integration, extraConfigJSON FROM biz_main_func",
     snap_add_func},
    {"sync APIs",
     "SELECT id, funcId, funcCallKwargsJSON, apiAuthId, expireTime, throttlingJSON, "
     "taskRecordLimit, isDisabled FROM biz_main_sync_api",
     snap_add_sync_api},
    {"async APIs",
     "SELECT id, funcId, funcCallKwargsJSON, apiAuthId, taskRecordLimit, isDisabled "
     "FROM biz_main_async_api",
     snap_add_async_api},
};

static tn_rc load_source(const tn_host *host, struct snapshot *s, const struct source *from,
                         tn_err *err)
{
    tn_text text = {NULL, 0};
    json_error_t why;
    json_t *row;
    size_t i;
    tn_rc rc = host->entities->sql(host->ctx, NULL, from->sql, TN_STR("[]"), &text, NULL, err);
    if (rc != TN_OK) {
        return rc;
    }
    json_t *rows = json_loadb(text.s != NULL ? text.s : "", text.n, 0, &why);
    host->free(host->ctx, text.s);
    if (!json_is_array(rows)) {
        rc = host->fail(err, TN_E_INTERNAL, "rows of %s cannot be read: %s", from->name,
                        rows == NULL ? why.text : "not an array");
    }
    json_array_foreach(rows, i, row)
    {
        rc = from->add(host, s, row);
        if (rc != TN_OK) {
            host->fail(err, rc, "no memory for a snapshot of %zu %s", json_array_size(rows),
                       from->name);
            break;
        }
    }
    json_decref(rows);
    return rc;
}

tn_rc snapshot_load(const tn_host *host, struct snapshot **ret, tn_err *err)
{
    struct snapshot *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return host->fail(err, TN_E_NOMEM, "no memory for a snapshot of the APIs");
    }
    for (size_t i = 0; i < SNAP_KINDS; i++) {
        host->auth->random(s->apis[i].key, sizeof s->apis[i].key);
    }
    host->auth->random(s->funcs.key, sizeof s->funcs.key);
    host->auth->random(s->scripts.key, sizeof s->scripts.key);
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        tn_rc rc = load_source(host, s, &sources[i], err);
        if (rc != TN_OK) {
            snapshot_free(s);
            return rc;
        }
    }
    *ret = s;
    return TN_OK;
}

void snapshot_free(struct snapshot *s)
{
    if (s == NULL) {
        return;
    }
    struct snap_api *a;
    for (uint32_t kind = 0; kind < SNAP_KINDS; kind++) {
        for (size_t i = 0; snapshot_each(s, kind, &i, &a);) {
            gate_unref(a->gate);
        }
        snap_map_finish(&s->apis[kind]);
    }
    snap_map_finish(&s->funcs);
    snap_map_finish(&s->scripts);
    snap_arena_finish(&s->arena);
    free(s);
}

bool snapshot_each(const struct snapshot *s, enum snap_kind kind, size_t *i, struct snap_api **ret)
{
    while (*i < s->apis[kind].cap) {
        *ret = s->apis[kind].slots[(*i)++].item;
        if (*ret != NULL) {
            return true;
        }
    }
    return false;
}

bool snapshot_each_auto(const struct snapshot *s, size_t *i, const struct snap_func **ret)
{
    while (s != NULL && *i < s->funcs.cap) {
        *ret = s->funcs.slots[(*i)++].item;
        if (*ret != NULL && ((*ret)->auto_cron.n > 0 || (*ret)->on_launch || (*ret)->on_publish)) {
            return true;
        }
    }
    return false;
}

const struct snap_api *snapshot_api(const struct snapshot *s, enum snap_kind kind, tn_str id)
{
    return s != NULL ? snap_map_get(&s->apis[kind], id) : NULL;
}

const struct snap_func *snapshot_func(const struct snapshot *s, tn_str id)
{
    return s != NULL ? snap_map_get(&s->funcs, id) : NULL;
}

void snapshot_carry(struct snapshot *to, const struct snapshot *from)
{
    struct snap_api *a;
    for (size_t i = 0; from != NULL && snapshot_each(to, SNAP_SYNC, &i, &a);) {
        const struct snap_api *old = a->nrules > 0 ? snapshot_api(from, SNAP_SYNC, a->id) : NULL;
        for (int k = 0; old != NULL && old->counts != NULL && k < SNAP_RULES; k++) {
            /* The new one may have counted some calls already. */
            if (a->counts[k].window == old->counts[k].window) {
                a->counts[k].calls += old->counts[k].calls;
            } else if (a->counts[k].window < old->counts[k].window) {
                a->counts[k] = old->counts[k];
            }
        }
    }
}
