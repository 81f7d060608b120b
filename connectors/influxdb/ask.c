/* SPDX-License-Identifier: Apache-2.0 */
/* Queries: what is asked, answers whole or in chunks, and what their errors mean. */
#include "common/json_put.h"
#include "influx.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

const char *ix_database(const struct ix_conn *c)
{
    return c->database != NULL ? c->database : c->inst->conf->database;
}

/* ---- errors ------------------------------------------------------------------------------------------ */

static tn_rc class_of(long status)
{
    return status == 401 || status == 403                      ? TN_E_DENIED
           : status == 413                                     ? TN_E_LIMIT
           : status == 429 || (status >= 502 && status <= 504) ? TN_E_UNAVAIL
                                                               : TN_E_REMOTE;
}

tn_rc ix_refused(const struct http_reply *r, tn_err *err)
{
    tn_str body = {r->body.s, r->body.n};
    char why[360];
    const char *header = http_find(r, "x-influxdb-error");
    json_plain(TN_STR(""), why, sizeof why);
    if (json_valid(body)) {
        tn_str text = json_member(body, "error");
        json_plain(text.s != NULL ? text : json_member(body, "message"), why, sizeof why);
    }
    if (why[0] == '\0') {
        json_plain(header != NULL ? (tn_str){header, strlen(header)} : body, why, sizeof why);
    }
    tn_rc rc = class_of(r->status);
    if (http_wants_tls(r)) {
        return ix_host->fail(err, TN_E_UNAVAIL, HTTP_WANTS_TLS);
    }
    ix_host->fail(err, rc, "%s%s (status %ld)", r->status == 401 ? "sign-in: " : "",
                  why[0] != '\0' ? why : "no reason given", r->status);
    if (err != NULL) {
        err->native = (int32_t)r->status;
        err->flags |= rc == TN_E_UNAVAIL ? TN_ERR_RETRY : 0;
    }
    return rc;
}

/* An error of one statement stands in an answer of status 200. What has neither results nor an error is somebody else's. */
static tn_rc statement_errors(tn_str body, tn_err *err)
{
    struct json_iter it;
    tn_str key, value;
    char why[400];
    if (json_kind(json_member(body, "error")) == '"') {
        json_plain(json_member(body, "error"), why, sizeof why);
        return ix_host->fail(err, TN_E_REMOTE, "%s", why);
    }
    if (json_kind(json_member(body, "results")) != '[') {
        return ix_host->fail(err, TN_E_UNAVAIL, "the answer has no results; is this an InfluxDB?");
    }
    /* the server often says "not executed" and no more, of what failed and of what would have come after it */
    tn_str failed = {NULL, 0}, of = {NULL, 0};
    for (int more = json_iter(&it, json_member(body, "results"));
         more && json_next(&it, &key, &value);) {
        tn_str text = json_member(value, "error");
        if (text.s != NULL && (failed.s == NULL || json_is(failed, "not executed"))) {
            failed = text;
            of = value;
        }
    }
    if (failed.s == NULL) {
        return TN_OK;
    }
    json_plain(failed, why, sizeof why);
    return ix_host->fail(err, strstr(why, "not authorized") != NULL ? TN_E_DENIED : TN_E_REMOTE,
                         "statement %lld: %s%s",
                         (long long)json_int(json_member(of, "statement_id"), 0), why,
                         json_is(failed, "not executed") ? "; asked alone it says why" : "");
}

/* ---- asking ------------------------------------------------------------------------------------------ */

static void put_field(struct grow *body, const char *name, tn_str value)
{
    grow_printf(body, "%s%s=", body->n != 0 ? "&" : "", name);
    http_escape(body, value, "");
}

static void put_choice(struct grow *body, const char *name, const tn_val *chosen,
                       const char *otherwise)
{
    if (chosen != NULL && chosen->type == TN_T_STR && chosen->n != 0) {
        put_field(body, name, (tn_str){chosen->u.s, chosen->n});
    } else if (given(otherwise)) {
        put_field(body, name, (tn_str){otherwise, strlen(otherwise)});
    }
}

/* What only reads may be asked twice: one statement, which writes nothing INTO another place. */
static int only_reads(tn_str sql)
{
    while (sql.n != 0 && strchr(" \t\r\n(", sql.s[0]) != NULL) {
        sql.s++;
        sql.n--;
    }
    while (sql.n != 0 && strchr("; \t\r\n", sql.s[sql.n - 1]) != NULL) {
        sql.n--;
    }
    for (size_t i = 0; i + 4 <= sql.n; i++) {
        if (sql.s[i] == ';' || strncasecmp(sql.s + i, "into", 4) == 0) {
            return 0;
        }
    }
    return sql.n > 4 && (strncasecmp(sql.s, "show", 4) == 0 ||
                         (sql.n > 6 && strncasecmp(sql.s, "select", 6) == 0));
}

/* The server takes what it does not know for nanoseconds. */
static tn_rc put_epoch(struct grow *body, const tn_val *epoch, tn_err *err)
{
    static const char *const units[][2] = {{"n", "n"},   {"ns", "n"}, {"u", "u"}, {"us", "u"},
                                           {"ms", "ms"}, {"s", "s"},  {"m", "m"}, {"h", "h"}};
    if (epoch == NULL || epoch->type == TN_T_NULL) {
        return TN_OK;
    }
    for (size_t i = 0; epoch->type == TN_T_STR && i < sizeof units / sizeof *units; i++) {
        if (epoch->n == strlen(units[i][0]) && memcmp(epoch->u.s, units[i][0], epoch->n) == 0) {
            put_field(body, "epoch", (tn_str){units[i][1], strlen(units[i][1])});
            return TN_OK;
        }
    }
    return ix_host->fail(err, TN_E_INVAL, "epoch is n, u, ms, s, m or h");
}

tn_rc ix_ask(struct ix_conn *c, const struct ix_query *q, uint64_t deadline_ns, struct grow *ret,
             tn_err *err)
{
    const struct ix_conf *conf = c->inst->conf;
    struct grow url = {0}, body = {0}, headers = {0};
    struct http_reply r = {.status = 0};
    put_field(&body, "q", q->sql);
    put_choice(&body, "db", q->database, ix_database(c));
    put_choice(&body, "rp", q->retention_policy, conf->retention_policy);
    if (q->params.n != 0) {
        put_field(&body, "params", q->params);
    }
    if (q->chunk_size > 0) {
        grow_printf(&body, "&chunked=true&chunk_size=%lld", (long long)q->chunk_size);
    }
    grow_printf(&url, "%s/query", c->inst->base.s);
    tn_rc rc = put_epoch(&body, q->epoch, err);
    rc = rc == TN_OK ? http_header(ix_host, &headers, TN_STR("Content-Type"),
                                   TN_STR("application/x-www-form-urlencoded"), err)
                     : rc;
    if (rc == TN_OK && (body.rc != TN_OK || url.rc != TN_OK)) {
        rc = ix_host->fail(err, TN_E_NOMEM, "no memory for the query");
    }
    const struct http_req req = {.method = "POST",
                                 .url = url.s,
                                 .headers = &headers,
                                 .body = body.s,
                                 .body_len = body.n,
                                 .flags = only_reads(q->sql) ? HTTP_REPEATABLE : 0,
                                 .deadline_ns = deadline_ns};
    if (rc == TN_OK) {
        rc = q->chunk_size > 0 ? http_start(c->http, &req, &r, err)
                               : http_send(c->http, &req, &r, err);
    }
    if (rc == TN_OK && r.status >= 400) {
        if (q->chunk_size > 0) {
            size_t n = 0;
            char *room = grow_room(&r.body, 4096);
            if (room != NULL && http_read(c->http, deadline_ns, room, 4096, &n, NULL) == TN_OK) {
                r.body.n = n;
            }
            http_stop(c->http);
        }
        rc = ix_refused(&r, err);
    } else if (rc == TN_OK && q->chunk_size == 0) {
        tn_str text = {r.body.s, r.body.n};
        rc = json_valid(text)
                 ? statement_errors(text, err)
                 : ix_host->fail(err, TN_E_UNAVAIL, "the answer is no JSON; is this an InfluxDB?");
        if (rc == TN_OK) {
            *ret = r.body;
            r.body = (struct grow){0};
        }
    }
    http_reply_free(&r);
    grow_free(&headers);
    grow_free(&body);
    grow_free(&url);
    return rc;
}

/* ---- chunks ------------------------------------------------------------------------------------------ */

/* One document of a chunked answer ends with a line break. *ret_more false: there is none left. */
static tn_rc next_document(struct ix_conn *c, uint64_t deadline_ns, bool *ret_more, tn_err *err)
{
    grow_clear(&c->chunk);
    c->chunk.max = (size_t)c->inst->conf->http.max_result.n;
    for (;;) {
        const char *from = c->ahead.s + c->used;
        size_t left = c->ahead.n - c->used, n = 0;
        const char *end = left != 0 ? memchr(from, '\n', left) : NULL;
        grow_put(&c->chunk, from, end != NULL ? (size_t)(end - from) : left);
        c->used += end != NULL ? (size_t)(end - from) + 1 : left;
        if (c->chunk.rc != TN_OK) {
            return ix_host->fail(err, c->chunk.rc,
                                 "a chunk is larger than max_result; make chunk_size smaller");
        }
        if (end != NULL && c->chunk.n != 0) {
            *ret_more = true;
            return TN_OK;
        }
        if (end != NULL) {
            continue;
        }
        grow_clear(&c->ahead);
        c->used = 0;
        char *room = grow_room(&c->ahead, 65536);
        tn_rc rc = room != NULL ? http_read(c->http, deadline_ns, room, 65536, &n, err)
                                : ix_host->fail(err, TN_E_NOMEM, "no memory for a chunk");
        if (rc != TN_OK) {
            return rc;
        }
        c->ahead.n = n;
        if (n == 0) {
            *ret_more = c->chunk.n != 0;
            return TN_OK;
        }
    }
}

/* The series of all results of a document, one after the other. */
static bool next_series(struct ix_conn *c, tn_str *ret)
{
    tn_str key;
    if (c->in_chunk && json_next(&c->at, &key, ret)) {
        return true;
    }
    c->in_chunk = false;
    return false;
}

tn_rc ix_next(struct ix_conn *c, uint64_t deadline_ns, struct grow *ret, bool *ret_more,
              tn_err *err)
{
    tn_str series, key, result;
    struct json_iter results;
    while (!next_series(c, &series)) {
        bool more = false;
        tn_rc rc = next_document(c, deadline_ns, &more, err);
        tn_str text = {c->chunk.s, c->chunk.n};
        if (rc == TN_OK && more) {
            rc = json_valid(text)
                     ? statement_errors(text, err)
                     : ix_host->fail(err, TN_E_UNAVAIL, "the answer ends in the middle");
        }
        if (rc != TN_OK || !more) {
            *ret_more = false;
            c->streaming = false;
            http_stop(c->http);
            return rc;
        }
        /* a document has the series of one statement */
        c->in_chunk = json_iter(&results, json_member(text, "results")) &&
                      json_next(&results, &key, &result) &&
                      json_iter(&c->at, json_member(result, "series"));
    }
    grow_put(ret, series.s, series.n);
    *ret_more = true;
    return ret->rc == TN_OK ? TN_OK : ix_host->fail(err, TN_E_NOMEM, "no memory for rows");
}

/* ---- the server itself ------------------------------------------------------------------------------- */

/* member: what the JSON of the answer must have; NULL: nothing is expected. */
static tn_rc get(struct ix_conn *c, const char *path, const char *member, uint32_t flags,
                 uint64_t deadline_ns, tn_err *err)
{
    struct grow url = {0};
    struct http_reply r = {.status = 0};
    grow_printf(&url, "%s%s", c->inst->base.s, path);
    const struct http_req req = {.method = "GET",
                                 .url = url.s,
                                 .flags = flags | HTTP_REPEATABLE,
                                 .deadline_ns = deadline_ns};
    tn_rc rc = url.rc == TN_OK ? http_send(c->http, &req, &r, err)
                               : ix_host->fail(err, TN_E_NOMEM, "no memory");
    rc = rc == TN_OK && r.status >= 400 ? ix_refused(&r, err) : rc;
    tn_str body = {r.body.s, r.body.n};
    if (rc == TN_OK && member != NULL &&
        (!json_valid(body) || json_member(body, member).s == NULL)) {
        rc = ix_host->fail(err, TN_E_UNAVAIL, "the answer has no %s; is this an InfluxDB?", member);
    }
    http_reply_free(&r);
    grow_free(&url);
    return rc;
}

tn_rc ix_ping(struct ix_conn *c, uint64_t deadline_ns, tn_err *err)
{
    return get(c, "/ping", NULL, HTTP_NO_AUTH, deadline_ns, err);
}

tn_rc ix_sign_in(struct ix_conn *c, uint64_t deadline_ns, tn_err *err)
{
    struct grow text = {0};
    const struct ix_query q = {.sql = TN_STR("SHOW DATABASES")};
    if (c->inst->v2) {
        return get(c, "/api/v2/buckets?limit=1", "buckets", 0, deadline_ns, err);
    }
    tn_rc rc = ix_ask(c, &q, deadline_ns, &text, err);
    grow_free(&text);
    return rc;
}

/* ---- Flux -------------------------------------------------------------------------------------------- */

tn_rc ix_flux(struct ix_conn *c, tn_str flux, const tn_val *params, uint64_t deadline_ns,
              struct grow *ret, tn_err *err)
{
    const struct ix_conf *conf = c->inst->conf;
    struct grow url = {0}, body = {0}, headers = {0};
    struct http_reply r = {.status = 0};
    tn_rc rc = http_header(ix_host, &headers, TN_STR("Content-Type"), TN_STR("application/json"),
                           err);
    grow_printf(&url, "%s/api/v2/query", c->inst->base.s);
    if (given(conf->org)) {
        grow_text(&url, "?org=");
        http_escape(&url, (tn_str){conf->org, strlen(conf->org)}, "");
    }
    grow_text(
        &body,
        "{\"type\":\"flux\",\"dialect\":{\"header\":true,\"annotations\":[\"datatype\",\"group\",\"default\"]},\"query\":");
    json_put_text(&body, flux.s, flux.n);
    if (rc == TN_OK && params != NULL && params->type != TN_T_NULL) {
        rc = ix_extern(&body, params, err);
    }
    grow_char(&body, '}');
    rc = rc == TN_OK ? http_header(ix_host, &headers, TN_STR("Accept"), TN_STR("text/csv"), err)
                     : rc;
    if (rc == TN_OK && (body.rc != TN_OK || url.rc != TN_OK)) {
        rc = ix_host->fail(err, TN_E_NOMEM, "no memory for the query");
    }
    const struct http_req req = {.method = "POST",
                                 .url = url.s,
                                 .headers = &headers,
                                 .body = body.s,
                                 .body_len = body.n,
                                 .deadline_ns = deadline_ns};
    rc = rc == TN_OK ? http_send(c->http, &req, &r, err) : rc;
    if (rc == TN_OK && r.status >= 400) {
        rc = ix_refused(&r, err);
    } else if (rc == TN_OK && !ix_csv_check(ix_host, (tn_str){r.body.s, r.body.n}, err)) {
        rc = TN_E_REMOTE;
    }
    if (rc == TN_OK) {
        *ret = r.body;
        r.body = (struct grow){0};
    }
    http_reply_free(&r);
    grow_free(&headers);
    grow_free(&body);
    grow_free(&url);
    return rc;
}
