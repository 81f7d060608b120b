/* SPDX-License-Identifier: Apache-2.0 */
/* Routes over what scripts have put into DFF.CACHE (spec Appendix A, funcCacheAPI). A key there is
 * "<APP_NAME>-worker#funcCache@<scope>:key:<key>:". helper thread -> loop -> cache -> loop -> answer. */
#include "rows.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CTX      api.host->ctx
#define LIST_MAX 50 /* keys of a list (spec appendix C) */

/* One request on its way through one or more commands. */
struct walk {
    struct api_req *r;
    struct str request; /* RESP of the next command */
    void (*next)(struct walk *w, tn_str reply);
    json_t *found; /* names that match */
    bool parse;    /* preferJSON */
};

static void walk_end(struct walk *w)
{
    str_free(&w->request);
    json_decref(w->found);
    free(w);
}

static void word(struct str *b, tn_str s)
{
    str_printf(b, "$%zu\r\n", s.n);
    str_text(b, s);
    str_puts(b, "\r\n");
}

static void key_name(struct str *b, tn_str scope, tn_str key)
{
    str_printf(b, "%s-worker#funcCache@", api_setting("APP_NAME", "DataFluxFunc"));
    str_text(b, scope);
    str_puts(b, ":key:");
    str_text(b, key);
    str_char(b, ':');
}

static void on_reply(void *user, tn_str reply)
{
    struct walk *w = user;
    if (reply.n > 0 && reply.s[0] == '-') {
        api_fail(w->r, ESysCache, NULL, NULL, "%.*s", (int)(reply.n > 2 ? reply.n - 3 : 0),
                 reply.s + 1);
        walk_end(w);
        return;
    }
    w->next(w, reply);
}

static void walk_ask(void *user)
{
    struct walk *w = user;
    api.host->cache->run(CTX, str_view(&w->request), on_reply, w);
}

static struct walk *walk_new(struct api_req *r, void (*next)(struct walk *w, tn_str reply))
{
    struct walk *w = calloc(1, sizeof *w);
    if (w == NULL) {
        api_fail(r, ESysLimitReached, NULL, NULL, "Out of memory");
        return NULL;
    }
    *w = (struct walk){.r = r, .next = next};
    return w;
}

/* ---- replies ------------------------------------------------------------------------------------ */

/* The bulk string at *at of an array's reply; absent for nil. The kernel gives only whole replies. */
static tn_str take_bulk(tn_str reply, size_t *at)
{
    const char *nl = *at < reply.n ? memchr(reply.s + *at, '\n', reply.n - *at) : NULL;
    int64_t n = -1;
    if (nl == NULL ||
        !text_int((tn_str){reply.s + *at + 1, (size_t)(nl - reply.s) - *at - 2}, &n)) {
        *at = reply.n;
        return (tn_str){NULL, 0};
    }
    bool bulk = reply.s[*at] == '$' && n >= 0;
    *at = (size_t)(nl - reply.s) + 1;
    if (!bulk || (uint64_t)n + 2 > reply.n - *at) {
        return (tn_str){NULL, 0};
    }
    tn_str text = {reply.s + *at, (size_t)n};
    *at += (size_t)n + 2;
    return text;
}

/* Text of the cache as a JSON value; bytes that are no UTF-8 become "?". */
static json_t *text_json(tn_str s)
{
    struct str quoted = {0};
    str_quote_any(&quoted, s);
    json_t *v = json_loadb(str_view(&quoted).s, quoted.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    str_free(&quoted);
    return v != NULL ? v : json_null();
}

/* ---- list ------------------------------------------------------------------------------------------ */

/* "<head>scope:key:name:" -> {scope, key, fullKey}; NULL: not one of ours, or not asked for. */
static json_t *list_row(const struct api_req *r, tn_str full)
{
    struct str head = {0};
    str_printf(&head, "%s-worker#funcCache@", api_setting("APP_NAME", "DataFluxFunc"));
    bool ours = full.n > head.n + 6 && memcmp(full.s, head.s, head.n) == 0;
    tn_str rest = {full.s + (ours ? head.n : 0), full.n - (ours ? head.n : 0)};
    str_free(&head);
    const char *mark = ours ? memmem(rest.s, rest.n, ":key:", 5) : NULL;
    if (mark == NULL || rest.s[rest.n - 1] != ':' || mark + 5 > rest.s + rest.n - 1) {
        return NULL;
    }
    tn_str scope = {rest.s, (size_t)(mark - rest.s)};
    tn_str key = {mark + 5, (size_t)(rest.s + rest.n - 1 - (mark + 5))};
    const struct {
        const char *name;
        tn_str in, other;
    } rules[] = {{"scope", scope, scope}, {"key", key, key}, {"_fuzzySearch", scope, key}};
    for (size_t i = 0; i < 3; i++) {
        tn_str want = text_of(row_text(r->query, rules[i].name));
        if (want.n > 0 && memmem(rules[i].in.s, rules[i].in.n, want.s, want.n) == NULL &&
            memmem(rules[i].other.s, rules[i].other.n, want.s, want.n) == NULL) {
            return NULL;
        }
    }
    return json_pack("{s:o, s:o, s:o}", "scope", text_json(scope), "key", text_json(key), "fullKey",
                     text_json(full));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(row_text(*(json_t *const *)a, "fullKey"),
                  row_text(*(json_t *const *)b, "fullKey"));
}

static void list_reply(struct walk *w, tn_str reply)
{
    json_t *rows = json_array();
    size_t at = 0, n = 0;
    (void)take_bulk(reply, &at); /* the array's head */
    json_t **all = NULL;
    size_t cap = 0;
    while (at < reply.n) {
        tn_str full = take_bulk(reply, &at);
        json_t *row = full.s != NULL ? list_row(w->r, full) : NULL;
        if (row != NULL && n == cap) {
            json_t **more = realloc(all, (cap = cap ? cap * 2 : 64) * sizeof *all);
            if (more == NULL) {
                json_decref(row);
                break;
            }
            all = more;
        }
        if (row != NULL) {
            all[n++] = row;
        }
    }
    if (n > 0) {
        qsort(all, n, sizeof *all, by_name);
    }
    for (size_t i = 0; i < n; i++) {
        if (i < LIST_MAX) {
            json_array_append_new(rows, all[i]);
        } else {
            json_decref(all[i]);
        }
    }
    free(all);
    api_ok(w->r, rows);
    walk_end(w);
}

static void cache_list(struct api_req *r)
{
    struct walk *w = walk_new(r, list_reply);
    if (w != NULL) {
        struct str pattern = {0};
        key_name(&pattern, TN_STR("*"), TN_STR("*"));
        str_puts(&w->request, "*2\r\n$4\r\nKEYS\r\n");
        word(&w->request, str_view(&pattern));
        str_free(&pattern);
        api.host->loop->post(CTX, walk_ask, w);
    }
}

/* ---- get, delete --------------------------------------------------------------------------------------- */

static void get_reply(struct walk *w, tn_str reply)
{
    size_t at = 0;
    tn_str text = take_bulk(reply, &at);
    json_t *v = text.s == NULL ? json_null() : NULL;
    if (v == NULL && w->parse) {
        v = json_loadb(text.s, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    }
    api_ok(w->r, v != NULL ? v : text_json(text));
    walk_end(w);
}

static void delete_reply(struct walk *w, tn_str reply)
{
    (void)reply;
    api_ok(w->r, NULL);
    walk_end(w);
}

/* GET and DEL of /:scope/:key */
static void one(struct api_req *r, const char *command, void (*next)(struct walk *w, tn_str reply))
{
    struct walk *w = walk_new(r, next);
    if (w != NULL) {
        struct str key = {0};
        key_name(&key, api_param(r, 0), api_param(r, 1));
        str_printf(&w->request, "*2\r\n$3\r\n%s\r\n",
                   r->dry_run && command[0] == 'D' ? "GET" : command);
        word(&w->request, str_view(&key));
        str_free(&key);
        w->parse = json_is_true(json_object_get(r->query, "preferJSON"));
        api.host->loop->post(CTX, walk_ask, w);
    }
}

static void cache_get_one(struct api_req *r)
{
    one(r, "GET", get_reply);
}

static void cache_delete(struct api_req *r)
{
    one(r, "DEL", delete_reply);
}

/* clang-format off */
static const struct field list_query[] = {
    {.name = "scope", .type = F_STR}, {.name = "key", .type = F_STR},
    {.name = "_fuzzySearch", .type = F_STR}, {.name = NULL}};
static const struct field get_query[] = {{.name = "preferJSON", .type = F_BOOL}, {.name = NULL}};

const struct api_route func_cache_routes[] = {
    {"GET", "/api/v1/func-caches/do/list", "general_r", "Lists keys that scripts have cached, at most 50",
     cache_list, list_query, NULL, NULL, API_EXPORT},
    {"GET", "/api/v1/func-caches/:scope/:key/do/get", "general_r", "One cached text", cache_get_one,
     get_query, NULL, NULL, 0},
    {"GET", "/api/v1/func-caches/:scope/:key/do/delete", "general_w", "Deletes a cached key",
     cache_delete, NULL, NULL, NULL, 0},
    {.method = NULL}};
/* clang-format on */
