/* SPDX-License-Identifier: Apache-2.0 */
/* All hits of a search, page by page: by a scroll, or by a point in time with search_after. */
#include "common/json_put.h"
#include "elastic.h"

#include <string.h>

static tn_rc post(struct es_conn *c, const char *method, const struct grow *path,
                  const struct grow *body, bool safe, uint64_t deadline_ns, struct http_reply *ret,
                  tn_err *err)
{
    const struct es_req req = {.method = method,
                               .path = {path->s, path->n},
                               .body = {body->s, body->n},
                               .type = "application/json",
                               .safe = safe,
                               .deadline_ns = deadline_ns};
    tn_rc rc = path->rc == TN_OK && body->rc == TN_OK
                   ? es_ask(c, &req, ret, err)
                   : es_host->fail(err, TN_E_NOMEM, "no memory for the search");
    if (rc == TN_OK && !json_valid((tn_str){ret->body.s, ret->body.n})) {
        rc = es_host->fail(err, TN_E_UNAVAIL, "the answer is no JSON; is this an Elasticsearch?");
        http_reply_free(ret);
    }
    return rc;
}

/* Keeps the id that the server gives the scroll or the point in time; it may change with every page. */
static void keep_cursor(struct es_conn *c, tn_str body, const char *name)
{
    tn_str id = json_member(body, name);
    if (json_kind(id) == '"') {
        grow_clear(&c->cursor);
        grow_put(&c->cursor, id.s, id.n); /* as JSON, with its quotes */
    }
}

static tn_rc open_pit(struct es_conn *c, const struct grow *index_, uint64_t deadline_ns,
                      tn_err *err)
{
    static const char *const ways[] = {"/_pit?keep_alive=", "/_search/point_in_time?keep_alive="};
    static const char *const names[] = {"id", "pit_id"};
    tn_rc rc = TN_E_UNSUPP;
    for (int i = 0; i < 2; i++) {
        struct grow path = {0}, none = {0};
        struct http_reply r = {.status = 0};
        tn_err why = TN_ERR_INIT;
        grow_printf(&path, "/%s%s%s", index_->s, ways[i], c->keep.s);
        rc = post(c, "POST", &path, &none, true, deadline_ns, &r, &why);
        if (rc == TN_OK) {
            keep_cursor(c, (tn_str){r.body.s, r.body.n}, names[i]);
            c->opensearch = i == 1;
        }
        http_reply_free(&r);
        grow_free(&path);
        if (rc != TN_E_REMOTE || (why.native != 400 && why.native != 404 && why.native != 405) ||
            i == 1) {
            if (rc != TN_OK && err != NULL) {
                *err = why;
            }
            break; /* a server that does not know the first way may know the second */
        }
    }
    return rc;
}

/* With a point in time hits of equal rank must have an order of their own, or pages would lose some: Elasticsearch adds one
 * by itself, for OpenSearch it is index and id. */
#define TIE "{\"_index\":\"asc\"},{\"_id\":\"asc\"}"

static tn_rc put_sort(struct es_conn *c, const tn_val *sort, tn_err *err)
{
    bool tie = c->by_pit && c->opensearch;
    tn_rc rc = TN_OK;
    grow_text(&c->body, ",\"sort\":[");
    if (sort == NULL || sort->type == TN_T_NULL) { /* the order that costs nothing */
        grow_text(&c->body, tie ? TIE : c->by_pit ? "{\"_shard_doc\":\"asc\"}" : "\"_doc\"");
    } else {
        uint32_t n = sort->type == TN_T_LIST ? sort->n : 1;
        for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
            grow_text(&c->body, i != 0 ? "," : "");
            rc = json_put(es_host, &c->body, sort->type == TN_T_LIST ? &sort->u.list[i] : sort,
                          err);
        }
        grow_text(&c->body, tie ? (n != 0 ? "," TIE : TIE) : "");
    }
    grow_char(&c->body, ']');
    return rc;
}

static bool is(const tn_val *k, const char *name)
{
    return k->type == TN_T_STR && k->n == strlen(name) && memcmp(k->u.s, name, k->n) == 0;
}

/* The query without its end: {"size":N,… Pages are our business. */
static tn_rc put_body(struct es_conn *c, const tn_val *query, tn_err *err)
{
    const tn_val *sort = NULL;
    tn_rc rc = TN_OK;
    grow_clear(&c->body);
    grow_printf(&c->body, "{\"size\":%lld", (long long)c->size);
    if (query->type != TN_T_MAP && query->type != TN_T_NULL) {
        return es_host->fail(err, TN_E_INVAL, "body is a dict with a query, as for _search");
    }
    for (uint32_t i = 0; rc == TN_OK && query->type == TN_T_MAP && i < query->n; i++) {
        const tn_val *k = &query->u.map[i].key, *v = &query->u.map[i].val;
        if (is(k, "sort")) {
            sort = v;
        } else if (k->type == TN_T_STR && !is(k, "size") && !is(k, "from") &&
                   !is(k, "search_after") && !is(k, "pit")) {
            grow_char(&c->body, ',');
            json_put_text(&c->body, k->u.s, k->n);
            grow_char(&c->body, ':');
            rc = json_put(es_host, &c->body, v, err);
        }
    }
    return rc == TN_OK ? put_sort(c, sort, err) : rc;
}

/* An argument that is text; of another type: no text at all. */
static tn_str text_of(const tn_val *v, tn_str otherwise)
{
    return v->type == TN_T_STR    ? (tn_str){v->u.s, v->n}
           : v->type == TN_T_NULL ? otherwise
                                  : TN_STR("");
}

tn_rc es_scan_start(struct es_conn *c, const tn_val *v, uint64_t deadline_ns, tn_err *err)
{
    struct grow index_ = {0};
    tn_rc rc = TN_OK;
    tn_str mode = text_of(&v[4], TN_STR("scroll")), keep = text_of(&v[3], TN_STR("1m"));
    c->by_pit = mode.n == 3 && memcmp(mode.s, "pit", 3) == 0;
    c->size = v[2].type == TN_T_INT ? v[2].u.i : v[2].type == TN_T_NULL ? 1000 : 0;
    grow_clear(&c->cursor);
    grow_clear(&c->keep);
    grow_clear(&c->after);
    http_escape(&c->keep, keep, "");
    http_escape(&index_, (tn_str){v[0].u.s, v[0].n}, ",*");
    if (!c->by_pit && !(mode.n == 6 && memcmp(mode.s, "scroll", 6) == 0)) {
        rc = es_host->fail(err, TN_E_INVAL, "by is scroll or pit");
    } else if (c->size < 1 || c->size > 10000) {
        rc = es_host->fail(err, TN_E_INVAL, "size is a number of hits from 1 to 10000");
    } else if (keep.n == 0) {
        rc = es_host->fail(err, TN_E_INVAL, "keep is a time like 30s or 5m");
    } else if (v[0].n == 0 || index_.rc != TN_OK) {
        rc = es_host->fail(err, TN_E_INVAL, "scan() needs the name of an index");
    }
    if (rc == TN_OK && c->by_pit) {
        rc = open_pit(c, &index_, deadline_ns, err);
    }
    if (rc == TN_OK) {
        c->scanning = true; /* from now on there is something to be freed */
        rc = put_body(c, &v[1], err);
    }
    grow_clear(&c->after); /* until the first page: the index */
    if (rc == TN_OK && !c->by_pit) {
        grow_put(&c->after, index_.s, index_.n);
    }
    if (rc != TN_OK) {
        es_scan_stop(c);
    }
    c->drained = false;
    grow_free(&index_);
    return rc;
}

static void put_page(struct es_conn *c, struct grow *path, struct grow *body)
{
    if (!c->by_pit && c->cursor.n != 0) {
        grow_text(path, "/_search/scroll");
        grow_printf(body, "{\"scroll\":\"%s\",\"scroll_id\":", c->keep.s);
        grow_put(body, c->cursor.s, c->cursor.n);
    } else if (!c->by_pit) {
        grow_printf(path, "/%s/_search?scroll=%s", c->after.s, c->keep.s);
        grow_put(body, c->body.s, c->body.n);
    } else {
        grow_text(path, "/_search");
        grow_put(body, c->body.s, c->body.n);
        grow_text(body, ",\"pit\":{\"id\":");
        grow_put(body, c->cursor.s, c->cursor.n);
        grow_printf(body, ",\"keep_alive\":\"%s\"}", c->keep.s);
        if (c->after.n != 0) {
            grow_text(body, ",\"search_after\":");
            grow_put(body, c->after.s, c->after.n);
        }
    }
    grow_char(body, '}');
}

/* A page that only some shards answered would leave hits out without a word. */
static tn_rc whole(tn_str answer, tn_err *err)
{
    int64_t failed = json_int(json_member(json_member(answer, "_shards"), "failed"), 0);
    if (failed == 0 && json_kind(json_member(answer, "timed_out")) != 't') {
        return TN_OK;
    }
    return es_host->fail(err, TN_E_REMOTE,
                         "%lld shards did not answer, or not in time: the hits are not all",
                         (long long)failed);
}

static void take_hits(struct es_conn *c, tn_str answer, struct grow *ret)
{
    struct json_iter it;
    tn_str key, hit, last = {NULL, 0}, hits = json_member(json_member(answer, "hits"), "hits");
    int64_t n = 0;
    for (int more = json_iter(&it, hits); more && json_next(&it, &key, &hit); n++) {
        last = hit;
    }
    keep_cursor(c, answer, c->by_pit ? "pit_id" : "_scroll_id");
    if (c->by_pit && last.s != NULL) {
        tn_str after = json_member(last, "sort");
        grow_clear(&c->after);
        grow_put(&c->after, after.s != NULL ? after.s : "", after.n);
    }
    c->drained = n == 0 || (c->by_pit && (n < c->size || c->after.n == 0));
    grow_put(ret, hits.s != NULL ? hits.s : "[]", hits.s != NULL ? hits.n : 2);
}

tn_rc es_scan_next(struct es_conn *c, uint64_t deadline_ns, struct grow *ret, tn_err *err)
{
    struct grow path = {0}, body = {0};
    struct http_reply r = {.status = 0};
    if (!c->scanning || c->drained) {
        es_scan_stop(c);
        grow_text(ret, "[]");
        return TN_OK;
    }
    put_page(c, &path, &body);
    /* a page of a scroll is given out once: asked again it would be the next one */
    tn_rc rc = post(c, "POST", &path, &body, c->by_pit || c->cursor.n == 0, deadline_ns, &r, err);
    rc = rc == TN_OK ? whole((tn_str){r.body.s, r.body.n}, err) : rc;
    if (rc == TN_OK) {
        take_hits(c, (tn_str){r.body.s, r.body.n}, ret);
        if (ret->rc != TN_OK) {
            rc = es_host->fail(err, TN_E_NOMEM, "no memory for hits");
        }
    }
    http_reply_free(&r);
    grow_free(&body);
    grow_free(&path);
    return rc;
}

void es_scan_stop(struct es_conn *c)
{
    if (c->scanning && c->cursor.n != 0) {
        struct grow path = {0}, body = {0};
        struct http_reply r = {.status = 0};
        grow_text(&path, !c->by_pit      ? "/_search/scroll"
                         : c->opensearch ? "/_search/point_in_time"
                                         : "/_pit");
        grow_printf(&body, "{\"%s\":", !c->by_pit ? "scroll_id" : c->opensearch ? "pit_id" : "id");
        grow_put(&body, c->cursor.s, c->cursor.n);
        grow_char(&body, '}');
        if (post(c, "DELETE", &path, &body, true, es_host->now_ns() + 1000000000u, &r, NULL) ==
            TN_OK) {
            http_reply_free(&r); /* when it fails the server forgets it by itself, after keep */
        }
        grow_free(&body);
        grow_free(&path);
    }
    c->scanning = false;
    grow_clear(&c->cursor);
}
