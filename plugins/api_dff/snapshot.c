/* SPDX-License-Identifier: Apache-2.0 */
/* Building a snapshot of sync APIs and functions from the store's rows. */
#include "snapshot.h"
#include "gate.h"
#include "snapshot_map.h"

#include "call_out.h"

#include <jansson.h>

/* A row that breaks one of these would only make its own calls fail, so it is kept and marked. */
#define MAX_KWARGS 10000

const struct snap_rule_info snap_rule_info[SNAP_RULES] = {
    [SNAP_SECOND] = {"bySecond", 1},     [SNAP_MINUTE] = {"byMinute", 60},
    [SNAP_HOUR] = {"byHour", 3600},      [SNAP_DAY] = {"byDay", 86400},
    [SNAP_MONTH] = {"byMonth", 2592000}, [SNAP_YEAR] = {"byYear", 31536000},
};

struct snapshot {
    struct snap_arena arena;
    struct snap_map apis, funcs, scripts;
};

/* Script columns that become part of a function. */
struct script_row {
    tn_str id, code_key;
};

static tn_str row_text(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return json_is_string(v) ? (tn_str){json_string_value(v), json_string_length(v)}
                             : (tn_str){NULL, 0};
}

static int64_t row_int(const json_t *row, const char *key, int64_t dflt)
{
    const json_t *v = json_object_get(row, key);
    return json_is_integer(v) ? json_integer_value(v) : json_is_boolean(v) ? json_is_true(v) : dflt;
}

/* A JSON column: text in most stores, parsed already in some. The result belongs to the caller. */
static json_t *row_json(const json_t *row, const char *key)
{
    json_t *v = json_object_get(row, key);
    if (json_is_string(v)) {
        return json_loadb(json_string_value(v), json_string_length(v), JSON_DECODE_ANY, NULL);
    }
    return json_incref(v);
}

static uint32_t row_option(const json_t *extra, const char *key, int64_t max)
{
    const json_t *v = json_object_get(extra, key);
    double d = json_is_integer(v) ? (double)json_integer_value(v)
               : json_is_real(v)  ? json_real_value(v)
                                  : 0;
    return d >= 1 && d <= (double)max ? (uint32_t)d : 0;
}

static tn_rc add_script(struct snapshot *s, const json_t *row)
{
    tn_str id = row_text(row, "id"), md5 = row_text(row, "codeMD5");
    struct script_row *r = snap_alloc(&s->arena, sizeof *r);
    struct str key = {0};
    if (id.s == NULL) {
        return TN_OK;
    }
    add(&key, md5);
    add_lit(&key, ":");
    add_int(&key, row_int(row, "publishVersion", 0));
    if (r != NULL) {
        r->id = snap_copy(&s->arena, id);
        r->code_key = snap_copy(&s->arena, str_view(&key));
    }
    str_free(&key);
    return r != NULL && r->code_key.s != NULL && snap_map_put(&s->scripts, r) ? TN_OK : TN_E_NOMEM;
}

static tn_rc add_func(struct snapshot *s, const json_t *row)
{
    tn_str id = row_text(row, "id"), name = row_text(row, "name"),
           script = row_text(row, "scriptId");
    struct snap_func *f = snap_alloc(&s->arena, sizeof *f);
    if (id.s == NULL || name.s == NULL || script.s == NULL) {
        return TN_OK;
    }
    if (f == NULL) {
        return TN_E_NOMEM;
    }
    const struct script_row *of = snap_map_get(&s->scripts, script);
    f->id = snap_copy(&s->arena, id);
    f->name = snap_copy(&s->arena, name);
    f->script = snap_copy(&s->arena, script);
    f->code_key = of != NULL ? of->code_key : TN_STR("");
    json_t *extra = row_json(row, "extraConfigJSON");
    f->timeout_s = row_option(extra, "timeout", 3600);
    f->expires_s = row_option(extra, "expires", 86400);
    f->queue = row_option(extra, "queue", 9);
    f->cache_s = row_option(extra, "cacheResult", INT32_MAX);
    json_decref(extra);
    return f->id.s != NULL && f->name.s != NULL && f->script.s != NULL && snap_map_put(&s->funcs, f)
               ? TN_OK
               : TN_E_NOMEM;
}

/* Configuration list _FUNC_ARGUMENT_PLACEHOLDER_LIST; its defaults when the platform has none. */
static int is_placeholder(const tn_host *host, tn_str raw)
{
    const char *list = host->setting(host->ctx, "_FUNC_ARGUMENT_PLACEHOLDER_LIST");
    if (list == NULL || list[0] == '\0') {
        list = "INPUT_BY_CALLER,FROM_PARAMETER";
    }
    if (raw.n < 2 || raw.s[0] != '"') {
        return 0;
    }
    while (*list != '\0') {
        size_t n = strcspn(list, ", \n");
        if (n > 0 && n == raw.n - 2 && memcmp(list, raw.s + 1, n) == 0) {
            return 1;
        }
        list += n + (list[n] != '\0');
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct snap_kwarg *x = a, *y = b;
    size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int c = memcmp(x->name.s, y->name.s, n);
    return c != 0 ? c : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

/* Splits the stored object into members; their text is kept as it is, so that numbers stay exact. */
static tn_rc digest_kwargs(const tn_host *host, struct snapshot *s, struct snap_api *sapi,
                           tn_str text)
{
    uint32_t kind = 0, n = 0;
    struct str fixed = {0}, name = {0};
    tn_rc rc = TN_E_NOMEM;
    /* A member takes at least five bytes ("":0,); most objects are small and there are many. */
    size_t most = text.n / 5 + 2;
    uint32_t cap = most < MAX_KWARGS ? (uint32_t)most : MAX_KWARGS;
    tn_json_member *m = calloc(cap, sizeof *m);
    if (m == NULL) {
        return rc;
    }
    text = snap_copy(&s->arena, text);
    if (text.s == NULL || host->json->scan(text, &kind, m, cap, &n, NULL) != TN_OK ||
        (kind != TN_JSON_OBJECT && kind != TN_JSON_NULL)) {
        sapi->bad_kwargs = 1;
        n = 0;
    }
    struct snap_kwarg *kwargs = snap_alloc(&s->arena, (n + 1) * sizeof *kwargs);
    for (uint32_t i = 0; kwargs != NULL && i < n; i++) {
        int escaped = (m[i].flags & TN_JSON_KEY_ESCAPED) != 0;
        kwargs[i].name = m[i].key;
        if (escaped) {
            size_t need = host->json->unquote(m[i].key, NULL, 0);
            str_clear(&name);
            char *to = str_room_for(&name, need);
            if (to == NULL) {
                goto undo_text;
            }
            host->json->unquote(m[i].key, to, need);
            kwargs[i].name = snap_copy(&s->arena, (tn_str){to, need});
        }
        kwargs[i].value = m[i].value;
        kwargs[i].placeholder = m[i].kind == TN_JSON_STRING && is_placeholder(host, m[i].value);
        if (!kwargs[i].placeholder) {
            add_lit(&fixed, ",");
            add_quote(&fixed, kwargs[i].name);
            add_lit(&fixed, ":");
            add(&fixed, m[i].value);
            sapi->nfixed++;
        }
    }
    if (kwargs != NULL && !fixed.failed) {
        qsort(kwargs, n, sizeof *kwargs, by_name);
        sapi->kwargs = kwargs;
        sapi->nkwargs = n;
        tn_str members = str_view(&fixed);
        sapi->fixed = members.n > 0 ? snap_copy(&s->arena, (tn_str){members.s + 1, members.n - 1})
                                    : TN_STR("");
        rc = sapi->fixed.s != NULL ? TN_OK : TN_E_NOMEM;
    }
undo_text:
    str_free(&fixed);
    str_free(&name);
    free(m);
    return rc;
}

/* The stored order counts: the first rule that is exceeded names the refusal. */
static tn_rc digest_rules(struct snapshot *s, struct snap_api *sapi, json_t *stored)
{
    struct snap_rule *rules = snap_alloc(&s->arena, SNAP_RULES * sizeof *rules);
    const char *key;
    json_t *limit;
    if (!json_is_object(stored) || json_object_size(stored) == 0) {
        return TN_OK;
    }
    if (rules == NULL) {
        return TN_E_NOMEM;
    }
    json_object_foreach(stored, key, limit)
    {
        for (uint32_t k = 0; k < SNAP_RULES; k++) {
            if (strcmp(key, snap_rule_info[k].name) == 0 && json_is_integer(limit)) {
                rules[sapi->nrules++] = (struct snap_rule){k, json_integer_value(limit)};
            }
        }
    }
    sapi->rules = rules;
    sapi->counts = snap_alloc(&s->arena, SNAP_RULES * sizeof *sapi->counts);
    return sapi->counts != NULL ? TN_OK : TN_E_NOMEM;
}

static tn_rc add_api(const tn_host *host, struct snapshot *s, const json_t *row)
{
    tn_str id = row_text(row, "id"), func = row_text(row, "funcId"),
           auth = row_text(row, "apiAuthId");
    struct snap_api *sapi = snap_alloc(&s->arena, sizeof *sapi);
    if (id.s == NULL || func.s == NULL) {
        return TN_OK;
    }
    if (sapi == NULL) {
        return TN_E_NOMEM;
    }
    sapi->id = snap_copy(&s->arena, id);
    sapi->func_id = snap_copy(&s->arena, func);
    sapi->auth_id = auth.n > 0 ? snap_copy(&s->arena, auth) : (tn_str){NULL, 0};
    if (sapi->id.s == NULL || sapi->func_id.s == NULL || (auth.n > 0 && sapi->auth_id.s == NULL)) {
        return TN_E_NOMEM;
    }
    sapi->func = snap_map_get(&s->funcs, func);
    sapi->expire_us = row_int(row, "expireTime", 0);
    sapi->record_limit = row_int(row, "taskRecordLimit", -1);
    sapi->disabled = row_int(row, "isDisabled", 0) != 0;

    json_t *stored = json_object_get(row, "funcCallKwargsJSON");
    tn_rc rc;
    if (json_is_string(stored)) {
        rc = digest_kwargs(host, s, sapi, row_text(row, "funcCallKwargsJSON"));
    } else if (json_is_object(stored)) {
        char *text = json_dumps(stored, JSON_COMPACT);
        rc = text != NULL ? digest_kwargs(host, s, sapi, (tn_str){text, strlen(text)}) : TN_E_NOMEM;
        free(text);
    } else {
        rc = digest_kwargs(host, s, sapi, TN_STR("{}"));
    }
    if (rc == TN_OK) {
        json_t *rules = row_json(row, "throttlingJSON");
        rc = digest_rules(s, sapi, rules);
        json_decref(rules);
    }
    return rc != TN_OK ? rc : snap_map_put(&s->apis, sapi) ? TN_OK : TN_E_NOMEM;
}

static tn_rc parse_rows(const tn_host *host, const char *what, tn_str text, json_t **ret,
                        tn_err *err)
{
    json_error_t why;
    json_t *rows = json_loadb(text.s != NULL ? text.s : "", text.n, 0, &why);
    if (!json_is_array(rows)) {
        json_decref(rows);
        return host->fail(err, TN_E_INTERNAL, "rows of %s cannot be read: %s", what,
                          rows == NULL ? why.text : "not an array");
    }
    *ret = rows;
    return TN_OK;
}

tn_rc snapshot_build(const tn_host *host, tn_str funcs, tn_str scripts, tn_str apis,
                     struct snapshot **ret, tn_err *err)
{
    enum { SCRIPTS, FUNCS, APIS, N };
    const tn_str texts[N] = {scripts, funcs, apis};
    static const char *const names[N] = {"scripts", "functions", "sync APIs"};
    json_t *rows[N] = {NULL};
    tn_rc rc = TN_OK;
    struct snapshot *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return host->fail(err, TN_E_NOMEM, "no memory for a snapshot of the sync APIs");
    }
    host->auth->random(s->apis.key, sizeof s->apis.key);
    host->auth->random(s->funcs.key, sizeof s->funcs.key);
    host->auth->random(s->scripts.key, sizeof s->scripts.key);
    for (int i = 0; i < N && rc == TN_OK; i++) {
        size_t at;
        json_t *row;
        rc = parse_rows(host, names[i], texts[i], &rows[i], err);
        if (rc != TN_OK) {
            break;
        }
        json_array_foreach(rows[i], at, row)
        {
            rc = i == SCRIPTS ? add_script(s, row)
                 : i == FUNCS ? add_func(s, row)
                              : add_api(host, s, row);
            if (rc != TN_OK) {
                host->fail(err, rc, "no memory for a snapshot of %zu %s", json_array_size(rows[i]),
                           names[i]);
                break;
            }
        }
    }
    for (int i = 0; i < N; i++) {
        json_decref(rows[i]);
    }
    if (rc != TN_OK) {
        snapshot_free(s);
        return rc;
    }
    *ret = s;
    return TN_OK;
}

tn_rc snapshot_load(const tn_host *host, struct snapshot **ret, tn_err *err)
{
    static const char *const sql[3] = {
        "SELECT id, scriptId, name, extraConfigJSON FROM biz_main_func",
        "SELECT id, codeMD5, publishVersion FROM biz_main_script",
        ("SELECT id, funcId, funcCallKwargsJSON, apiAuthId, expireTime, throttlingJSON, "
         "taskRecordLimit, isDisabled FROM biz_main_sync_api"),
    };
    tn_text rows[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    tn_rc rc = TN_OK;
    for (int i = 0; i < 3 && rc == TN_OK; i++) {
        rc = host->entities->sql(host->ctx, NULL, sql[i], TN_STR("[]"), &rows[i], NULL, err);
    }
    if (rc == TN_OK) {
        rc = snapshot_build(host, (tn_str){rows[0].s, rows[0].n}, (tn_str){rows[1].s, rows[1].n},
                            (tn_str){rows[2].s, rows[2].n}, ret, err);
    }
    for (int i = 0; i < 3; i++) {
        host->free(host->ctx, rows[i].s);
    }
    return rc;
}

void snapshot_free(struct snapshot *s)
{
    if (s == NULL) {
        return;
    }
    struct snap_api *sapi;
    for (size_t i = 0; snapshot_each(s, &i, &sapi);) {
        gate_unref(sapi->gate);
    }
    snap_map_finish(&s->apis);
    snap_map_finish(&s->funcs);
    snap_map_finish(&s->scripts);
    snap_arena_finish(&s->arena);
    free(s);
}

bool snapshot_each(const struct snapshot *s, size_t *i, struct snap_api **ret)
{
    while (*i < s->apis.cap) {
        *ret = s->apis.slots[(*i)++].item;
        if (*ret != NULL) {
            return true;
        }
    }
    return false;
}

const struct snap_api *snapshot_api(const struct snapshot *s, tn_str id)
{
    return s != NULL ? snap_map_get(&s->apis, id) : NULL;
}

const struct snap_func *snapshot_func(const struct snapshot *s, tn_str id)
{
    return s != NULL ? snap_map_get(&s->funcs, id) : NULL;
}

void snapshot_carry(struct snapshot *to, const struct snapshot *from)
{
    for (size_t i = 0; from != NULL && i < to->apis.cap; i++) {
        struct snap_api *sapi = to->apis.slots[i].item;
        const struct snap_api *old = sapi != NULL && sapi->nrules > 0 ? snapshot_api(from, sapi->id)
                                                                      : NULL;
        for (int k = 0; old != NULL && old->counts != NULL && k < SNAP_RULES; k++) {
            /* The new one may have counted some calls already. */
            if (sapi->counts[k].window == old->counts[k].window) {
                sapi->counts[k].calls += old->counts[k].calls;
            } else if (sapi->counts[k].window < old->counts[k].window) {
                sapi->counts[k] = old->counts[k];
            }
        }
    }
}

const struct snap_kwarg *snap_kwarg_find(const struct snap_api *sapi, tn_str name)
{
    struct snap_kwarg key = {name, {NULL, 0}, 0};
    return sapi->nkwargs == 0 ? NULL
                              : bsearch(&key, sapi->kwargs, sapi->nkwargs, sizeof key, by_name);
}
