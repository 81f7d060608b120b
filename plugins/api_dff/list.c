/* SPDX-License-Identifier: Apache-2.0 */
/* The list engine: query fields to a store list, rows to a page. */
#include "list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SORT_MAX  8
#define EXTRA_MAX 8

struct page {
    int64_t size, number, marker;
    bool on;
};

static bool refuse(struct api_req *r, const char *name, tn_str value, const char *checker)
{
    char why[512];
    struct str quoted = {0};
    str_quote(&quoted, (tn_str){value.s, value.n > 64 ? 64 : value.n});
    snprintf(why, sizeof why, "Field `%s` value `%s` is not valid. (%s)", name, str_view(&quoted).s,
             checker);
    str_free(&quoted);
    api_fail(r, EClientBadRequest, NULL, json_pack("{s:s}", "message", why),
             "Invalid request query");
    return false;
}

/* A positive integer of at most max; the cookie is the fallback of pageSize. */
static bool page_field(struct api_req *r, const char *name, int64_t max, int64_t *ret)
{
    tn_str t = query_arg(r->http, name);
    if (t.n == 0) {
        return true;
    }
    int64_t v;
    char checker[48];
    if (!text_int(t, &v) || v < 1) {
        return refuse(r, name, t, "isPositiveInteger = true");
    }
    if (v > max) {
        snprintf(checker, sizeof checker, "maxValue = %lld", (long long)max);
        return refuse(r, name, t, checker);
    }
    *ret = v;
    return true;
}

static int64_t cookie_page_size(const tn_http_req *req)
{
    tn_str c = tn_http_header(req, "cookie");
    static const char name[] = "xDFFPageSize=";
    const char *p = c.s != NULL ? memmem(c.s, c.n, name, sizeof name - 1) : NULL;
    int64_t v;
    if (p == NULL) {
        return 10;
    }
    p += sizeof name - 1;
    size_t n = 0;
    while (p + n < c.s + c.n && p[n] >= '0' && p[n] <= '9' && n < 4) {
        n++;
    }
    return text_int((tn_str){p, n}, &v) && v >= 1 && v <= 100 ? v : 10;
}

static bool page_read(struct api_req *r, const struct list_spec *l, struct page *p)
{
    *p = (struct page){.size = cookie_page_size(r->http), .number = 1};
    p->on = l->paging != PAGE_NONE && !query_flag(r->http, "noPage");
    return !p->on ||
           (page_field(r, "pageSize", 100, &p->size) &&
            page_field(r, "pageNumber", 99999, &p->number) &&
            (l->paging != PAGE_MARKER || page_field(r, "pageMarker", INT64_MAX, &p->marker)));
}

/* sort=a,-b into names that live in `store`. */
static bool sort_read(struct api_req *r, const struct list_spec *l, char store[SORT_MAX][64],
                      const char *sort[SORT_MAX], uint32_t *ret_n)
{
    tn_str rest = query_arg(r->http, "sort");
    *ret_n = 0;
    while (rest.n > 0) {
        const char *comma = memchr(rest.s, ',', rest.n);
        size_t n = comma != NULL ? (size_t)(comma - rest.s) : rest.n;
        tn_str one = {rest.s, n};
        bool desc = n > 0 && one.s[0] == '-';
        tn_str name = {one.s + desc, one.n - desc};
        const char *known = NULL;
        for (const char *const *s = l->sort; s != NULL && *s != NULL && known == NULL; s++) {
            known = text_is(name, *s) ? *s : NULL;
        }
        if (name.n > 0) {
            if (known == NULL || *ret_n == SORT_MAX) {
                char names[256] = "in =";
                for (const char *const *s = l->sort; s != NULL && *s != NULL; s++) {
                    size_t used = strlen(names);
                    snprintf(names + used, sizeof names - used, " %s", *s);
                }
                return refuse(r, "sort", one, names);
            }
            snprintf(store[*ret_n], 64, "%s%s", desc ? "-" : "", known);
            sort[*ret_n] = store[*ret_n];
            ++*ret_n;
        }
        n += comma != NULL;
        rest = (tn_str){rest.s + n, rest.n - n};
    }
    return true;
}

void list_query_filters(struct api_req *r, const struct field *fields, struct filters *f)
{
    for (const struct field *q = fields; q != NULL && q->name != NULL; q++) {
        const json_t *v = json_object_get(r->query, q->name);
        if (v == NULL || q->op == 0) {
            continue;
        }
        if (json_is_null(v)) {
            /* Only an explicit _NULL asks for NULL; what did not convert is no filter. */
            if (text_is(query_arg(r->http, q->name), "_NULL")) {
                filters_add(f, q->column, TN_OP_ISNULL, json_true());
            }
        } else if (q->type == F_INT && q->op == TN_OP_LIKE) {
            tn_str t = query_arg(r->http, q->name);
            json_t *text = json_stringn(t.s, t.n);
            filters_add(f, q->column, q->op, text);
            json_decref(text);
        } else if (!json_is_array(v) || json_array_size(v) > 0) {
            filters_add(f, q->column, q->op, v);
        }
    }
}

static uint32_t names_count(const char *const *names)
{
    uint32_t n = 0;
    while (names != NULL && names[n] != NULL) {
        n++;
    }
    return n;
}

/* One text search at a time; full text is the narrower one and wins. */
static void search(struct api_req *r, const struct list_spec *l, tn_list *q)
{
    tn_str fuzzy = query_arg(r->http, "_fuzzySearch");
    tn_str word = query_arg(r->http, "_fulltextSearchWord");
    tn_str field = query_arg(r->http, "_fulltextSearchField");
    if (l->fulltext != NULL && word.n > 0 && (field.n == 0 || text_is(field, "FULL_TEXT"))) {
        q->fuzzy = word;
        q->fuzzy_columns = l->fulltext;
    } else if (l->fuzzy != NULL && fuzzy.n > 0) {
        q->fuzzy = fuzzy;
        q->fuzzy_columns = l->fuzzy;
    }
    q->nfuzzy = names_count(q->fuzzy_columns);
}

static json_t *page_info(const struct list_spec *l, const struct page *p, const json_t *rows,
                         int64_t total)
{
    json_int_t count = (json_int_t)json_array_size(rows);
    if (l->paging == PAGE_SIMPLE) {
        return json_pack("{s:s, s:I, s:I, s:I, s:b}", "pagingStyle", "simple", "pageSize",
                         (json_int_t)p->size, "count", count, "pageNumber", (json_int_t)p->number,
                         "isFirstPage", p->number <= 1);
    }
    if (l->paging == PAGE_MARKER) {
        json_t *last = json_object_get(json_array_get(rows, (size_t)count - 1), "seq");
        return json_pack("{s:s, s:I, s:I, s:s, s:O?, s:b}", "pagingStyle", "marker", "pageSize",
                         (json_int_t)p->size, "count", count, "pageMarkerField", "seq",
                         "pageMarker", count > 0 ? last : json_null(), "isFirstPage",
                         p->marker == 0);
    }
    json_int_t pages = (json_int_t)((total + p->size - 1) / p->size);
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:b}", "pagingStyle", "normal", "pageSize",
                     (json_int_t)p->size, "count", count, "totalCount", (json_int_t)total,
                     "pageNumber", (json_int_t)p->number, "pageCount", pages, "isFirstPage",
                     p->number <= 1);
}

void list_run(struct api_req *r)
{
    const struct list_spec *l = r->route->data;
    struct page page;
    char sort_text[SORT_MAX][64];
    const char *sort[SORT_MAX], *extra[EXTRA_MAX];
    struct filters f = {0};
    tn_list q = {.size = sizeof q, .limit = -1};
    if (!page_read(r, l, &page) || !sort_read(r, l, sort_text, sort, &q.nsort)) {
        return;
    }
    q.sort = sort;
    search(r, l, &q);
    for (; l->extra != NULL && l->extra[q.nextra] != NULL; q.nextra++) {
        extra[q.nextra] = l->extra[q.nextra];
    }
    if (l->extra_for != NULL) {
        q.nextra += l->extra_for(r, extra + q.nextra, EXTRA_MAX - q.nextra);
    }
    q.extra = extra;
    list_query_filters(r, r->route->query, &f);
    if (l->filters != NULL && !l->filters(r, &f)) {
        goto undo_filters;
    }
    q.filters = f.f;
    q.nfilters = f.n;
    if (page.on) {
        q.limit = page.size;
        q.offset = l->paging == PAGE_MARKER ? 0 : (page.number - 1) * page.size;
        q.marker = page.marker;
        q.flags = l->paging == PAGE_NORMAL ? TN_LIST_COUNT : 0;
    }
    tn_err err = TN_ERR_INIT;
    int64_t total = -1;
    json_t *rows = f.failed ? (api.host->fail(&err, TN_E_INVAL, "too many filters"), NULL)
                            : store_rows(NULL, l->entity, &q, &total, &err);
    if (rows == NULL) {
        api_fail_err(r, &err);
        goto undo_filters;
    }
    json_t *info = page.on ? page_info(l, &page, rows, total) : NULL;
    for (size_t i = 0; l->row != NULL && i < json_array_size(rows); i++) {
        l->row(r, json_array_get(rows, i));
    }
    if (l->rows != NULL && !l->rows(r, rows)) {
        json_decref(rows);
        json_decref(info);
        goto undo_filters;
    }
    api_ok_page(r, rows, info);
undo_filters:
    filters_free(&f);
}
