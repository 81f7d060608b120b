/* SPDX-License-Identifier: Apache-2.0 */
/* APIs of a snapshot: their configured kwargs and rules, digested for one look-up a call. */
#include "snapshot_int.h"

/* A row that breaks it would only make its own calls fail, so it is kept and marked. */
#define MAX_KWARGS 10000

const struct snap_rule_info snap_rule_info[SNAP_RULES] = {
    [SNAP_SECOND] = {"bySecond", 1},     [SNAP_MINUTE] = {"byMinute", 60},
    [SNAP_HOUR] = {"byHour", 3600},      [SNAP_DAY] = {"byDay", 86400},
    [SNAP_MONTH] = {"byMonth", 2592000}, [SNAP_YEAR] = {"byYear", 31536000},
};

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

static tn_rc add_api(const tn_host *host, struct snapshot *s, enum snap_kind kind,
                     const json_t *row)
{
    tn_str id = snap_row_text(row, "id"), func = snap_row_text(row, "funcId"),
           auth = snap_row_text(row, "apiAuthId");
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
    sapi->expire_us = snap_row_int(row, "expireTime", 0);
    sapi->record_limit = snap_row_int(row, "taskRecordLimit", -1);
    sapi->disabled = snap_row_int(row, "isDisabled", 0) != 0;

    json_t *stored = json_object_get(row, "funcCallKwargsJSON");
    tn_rc rc;
    if (json_is_string(stored)) {
        rc = digest_kwargs(host, s, sapi, snap_row_text(row, "funcCallKwargsJSON"));
    } else if (json_is_object(stored)) {
        char *text = json_dumps(stored, JSON_COMPACT);
        rc = text != NULL ? digest_kwargs(host, s, sapi, (tn_str){text, strlen(text)}) : TN_E_NOMEM;
        free(text);
    } else {
        rc = digest_kwargs(host, s, sapi, TN_STR("{}"));
    }
    if (rc == TN_OK) {
        json_t *rules = snap_row_json(row, "throttlingJSON");
        rc = digest_rules(s, sapi, rules);
        json_decref(rules);
    }
    return rc != TN_OK ? rc : snap_map_put(&s->apis[kind], sapi) ? TN_OK : TN_E_NOMEM;
}

tn_rc snap_add_sync_api(const tn_host *host, struct snapshot *s, const json_t *row)
{
    return add_api(host, s, SNAP_SYNC, row);
}

tn_rc snap_add_async_api(const tn_host *host, struct snapshot *s, const json_t *row)
{
    return add_api(host, s, SNAP_ASYNC, row);
}

const struct snap_kwarg *snap_kwarg_find(const struct snap_api *sapi, tn_str name)
{
    struct snap_kwarg key = {name, {NULL, 0}, 0};
    return sapi->nkwargs == 0 ? NULL
                              : bsearch(&key, sapi->kwargs, sapi->nkwargs, sizeof key, by_name);
}
