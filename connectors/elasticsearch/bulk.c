/* SPDX-License-Identifier: Apache-2.0 */
/* Bulk: actions as NDJSON in batches of some megabytes, errors by action; what was refused for lack of room is sent again. */
#include "common/args.h"
#include "common/json_put.h"
#include "elastic.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ERRORS_MAX 10000 /* told one by one; the rest is only counted */

/* ---- actions ------------------------------------------------------------------------------------------ */

/* Members of an action that belong to its first line; everything else is the document. */
static const char *const metas[] = {"_index",        "_id",
                                    "routing",       "_routing",
                                    "version",       "version_type",
                                    "if_seq_no",     "if_primary_term",
                                    "pipeline",      "retry_on_conflict",
                                    "require_alias", "dynamic_templates"};

static bool is_meta(const tn_val *key)
{
    for (size_t i = 0; i < sizeof metas / sizeof *metas; i++) {
        if (key->type == TN_T_STR && key->n == strlen(metas[i]) &&
            memcmp(key->u.s, metas[i], key->n) == 0) {
            return true;
        }
    }
    return false;
}

static const char *op_of(const tn_val *action)
{
    static const char *const ops[] = {"index", "create", "update", "delete"};
    const tn_val *v = args_member(action, "_op_type");
    if (v == NULL || v->type == TN_T_NULL) {
        return ops[0];
    }
    for (size_t i = 0; i < 4; i++) {
        if (v->type == TN_T_STR && v->n == strlen(ops[i]) && memcmp(v->u.s, ops[i], v->n) == 0) {
            return ops[i];
        }
    }
    return NULL;
}

static tn_rc put_meta(struct grow *to, const char *op, const tn_val *action, tn_err *err)
{
    tn_rc rc = TN_OK;
    uint32_t n = 0;
    grow_printf(to, "{\"%s\":{", op);
    for (uint32_t i = 0; rc == TN_OK && i < action->n; i++) {
        const tn_val *k = &action->u.map[i].key, *v = &action->u.map[i].val;
        if (!is_meta(k) || v->type == TN_T_NULL) {
            continue;
        }
        size_t skip = k->n == 8 && memcmp(k->u.s, "_routing", 8) == 0; /* as it was once called */
        if (n++ != 0) {
            grow_char(to, ',');
        }
        json_put_text(to, k->u.s + skip, k->n - skip);
        grow_char(to, ':');
        rc = json_put(es_host, to, v, err);
    }
    grow_text(to, "}}\n");
    return rc;
}

/* "_source" or "doc" when there is one, else what is not meta. */
static tn_rc put_document(struct grow *to, const char *op, const tn_val *action, tn_err *err)
{
    const tn_val *source = args_member(action, "_source");
    tn_rc rc = TN_OK;
    uint32_t n = 0;
    if (source != NULL &&
        source->type == TN_T_STR) { /* JSON already; it must not have a line of its own */
        if (!json_valid((tn_str){source->u.s, source->n}) ||
            memchr(source->u.s, '\n', source->n) != NULL) {
            return es_host->fail(err, TN_E_INVAL, "_source is a dict, or JSON in one line");
        }
        grow_put(to, source->u.s, source->n);
    } else if (source != NULL) {
        rc = json_put(es_host, to, source, err);
    } else {
        grow_char(to, '{');
        for (uint32_t i = 0; rc == TN_OK && i < action->n; i++) {
            const tn_val *k = &action->u.map[i].key;
            if (is_meta(k) ||
                (k->type == TN_T_STR && k->n == 8 && memcmp(k->u.s, "_op_type", 8) == 0)) {
                continue;
            }
            if (k->type != TN_T_STR) {
                return es_host->fail(err, TN_E_INVAL, "names of fields are texts");
            }
            if (n++ != 0) {
                grow_char(to, ',');
            }
            json_put_text(to, k->u.s, k->n);
            grow_char(to, ':');
            rc = json_put(es_host, to, &action->u.map[i].val, err);
        }
        grow_char(to, '}');
    }
    (void)op;
    grow_char(to, '\n');
    return rc;
}

static tn_rc put_action(struct grow *to, const tn_val *action, tn_err *err)
{
    const char *op = action->type == TN_T_MAP ? op_of(action) : NULL;
    if (op == NULL) {
        return es_host->fail(
            err, TN_E_INVAL,
            "an action is a dict with _op_type index, create, update or delete, _index, _id and the document");
    }
    tn_rc rc = put_meta(to, op, action, err);
    if (rc == TN_OK && strcmp(op, "delete") != 0) {
        rc = put_document(to, op, action, err);
    }
    return rc == TN_OK && to->rc != TN_OK ? es_host->fail(err, to->rc, "no memory for the actions")
                                          : rc;
}

/* ---- batches ------------------------------------------------------------------------------------------ */

struct piece {
    uint32_t position; /* in the list of the script */
    size_t from, n;    /* in the text */
};
struct bulk {
    struct es_conn *c;
    struct grow path, text, again, *ret;
    struct piece *pieces, *later;
    uint32_t npieces, nlater, nerrors;
    uint64_t took, done, deadline_ns;
};

static void put_error(struct bulk *b, uint32_t position, tn_str op, tn_str item, long status)
{
    static const char *const copied[] = {"_index", "_id", "error"}, *const names[] = {"index", "id",
                                                                                      "error"};
    if (b->nerrors++ >= ERRORS_MAX) {
        return;
    }
    grow_printf(b->ret, "%s{\"position\":%u,\"op\":", b->nerrors > 1 ? "," : "", position);
    grow_put(b->ret, op.s, op.n);
    grow_printf(b->ret, ",\"status\":%ld", status);
    for (size_t i = 0; i < 3; i++) {
        tn_str v = json_member(item, copied[i]);
        grow_printf(b->ret, ",\"%s\":", names[i]);
        grow_put(b->ret, v.s != NULL ? v.s : "null", v.s != NULL ? v.n : 4);
    }
    grow_char(b->ret, '}');
}

/* Items stand in the order of the actions; those that were refused with 429 are kept for another attempt. */
static tn_rc take_items(struct bulk *b, tn_str body, bool last, tn_err *err)
{
    struct json_iter it, one;
    tn_str key, item, op, result;
    uint32_t i = 0;
    b->nlater = 0;
    b->took += (uint64_t)json_int(json_member(body, "took"), 0);
    for (int more = json_iter(&it, json_member(body, "items"));
         more && i < b->npieces && json_next(&it, &key, &item); i++) {
        if (!json_iter(&one, item) || !json_next(&one, &op, &result)) {
            break;
        }
        long status = (long)json_int(json_member(result, "status"), 0);
        if (status == 429 && !last) {
            b->later[b->nlater++] = b->pieces[i];
        } else if (status >= 400 || status == 0) {
            put_error(b, b->pieces[i].position, op, result, status);
        } else {
            b->done++;
        }
    }
    return i == b->npieces ? TN_OK
                           : es_host->fail(err, TN_E_REMOTE,
                                           "the answer speaks of %u of %u actions", i, b->npieces);
}

static void keep_later(struct bulk *b)
{
    grow_clear(&b->again);
    for (uint32_t i = 0; i < b->nlater; i++) {
        size_t at = b->again.n;
        grow_put(&b->again, b->text.s + b->later[i].from, b->later[i].n);
        b->pieces[i] = b->later[i];
        b->pieces[i].from = at;
    }
    b->npieces = b->nlater;
    struct grow was = b->text;
    b->text = b->again;
    b->again = was;
}

static tn_rc flush(struct bulk *b, tn_err *err)
{
    for (uint32_t n = 0; b->npieces != 0; n++) {
        struct http_reply r = {.status = 0};
        const struct es_req req = {.method = "POST",
                                   .path = {b->path.s, b->path.n},
                                   .body = {b->text.s, b->text.n},
                                   .type = "application/x-ndjson",
                                   .deadline_ns = b->deadline_ns};
        bool last = (int64_t)n >= b->c->inst->conf->retries;
        tn_rc rc = b->text.rc == TN_OK
                       ? es_ask(b->c, &req, &r, err)
                       : es_host->fail(err, b->text.rc, "no memory for the actions");
        tn_str body = {r.body.s, r.body.n};
        if (rc == TN_OK) {
            rc = json_valid(body)
                     ? take_items(b, body, last, err)
                     : es_host->fail(err, TN_E_UNAVAIL,
                                     "the answer is no JSON; is this an Elasticsearch?");
        }
        http_reply_free(&r);
        if (rc == TN_OK && b->nlater != 0) {
            tn_rc nap = http_nap(b->c->http, http_backoff(b->c->http, n, NULL), b->deadline_ns,
                                 err);
            rc = nap == TN_E_TIMEOUT
                     ? es_host->fail(err, TN_E_TIMEOUT,
                                     "%u actions were refused (429) until the time was over",
                                     b->nlater)
                     : nap;
        }
        if (rc != TN_OK) {
            return rc;
        }
        keep_later(b);
    }
    grow_clear(&b->text);
    return TN_OK;
}

static tn_rc run(struct bulk *b, const tn_val *actions, tn_err *err)
{
    size_t batch = (size_t)b->c->inst->conf->batch.n;
    for (uint32_t i = 0; i < actions->n; i++) {
        size_t from = b->text.n;
        tn_err why = TN_ERR_INIT;
        tn_rc rc = put_action(&b->text, &actions->u.list[i], &why);
        if (rc != TN_OK) {
            return es_host->fail(err, rc, "action %u: %s", i, why.msg);
        }
        b->pieces[b->npieces++] = (struct piece){i, from, b->text.n - from};
        if (b->text.n >= batch) {
            rc = flush(b, err);
            if (rc != TN_OK) {
                return rc;
            }
        }
    }
    return flush(b, err);
}

tn_rc es_bulk(struct es_conn *c, const tn_val *actions, const tn_val *index_, const tn_val *refresh,
              uint64_t deadline_ns, struct grow *ret, bool *ret_errors, tn_err *err)
{
    struct bulk b = {.c = c, .ret = ret, .deadline_ns = deadline_ns};
    if (actions->type != TN_T_LIST) {
        return es_host->fail(err, TN_E_INVAL, "actions is a list of dicts");
    }
    grow_text(&b.path, "/");
    if (index_->type == TN_T_STR && index_->n != 0) {
        http_escape(&b.path, (tn_str){index_->u.s, index_->n}, "");
        grow_char(&b.path, '/');
    }
    grow_text(&b.path, "_bulk");
    tn_rc rc = http_query(es_host, &b.path, &(tn_val){.type = TN_T_NULL}, err);
    if (refresh->type == TN_T_BOOL || refresh->type == TN_T_STR) {
        const tn_pair pair[] = {{{.type = TN_T_STR, .n = 7, .u.s = "refresh"}, *refresh}};
        rc = http_query(es_host, &b.path, &(tn_val){.type = TN_T_MAP, .n = 1, .u.map = pair}, err);
    }
    b.pieces = calloc((size_t)actions->n + 1, sizeof *b.pieces);
    b.later = calloc((size_t)actions->n + 1, sizeof *b.later);
    if (rc == TN_OK && (b.pieces == NULL || b.later == NULL || b.path.rc != TN_OK)) {
        rc = es_host->fail(err, TN_E_NOMEM, "no memory for %u actions", actions->n);
    }
    grow_text(ret, "{\"errors\":[");
    if (rc == TN_OK) {
        tn_err why = TN_ERR_INIT;
        rc = run(&b, actions, &why);
        if (rc != TN_OK && b.done != 0) {
            es_host->fail(err, rc, "%.330s; %" PRIu64 " actions before were carried out", why.msg,
                          b.done);
            if (err != NULL) {
                err->native = why.native;
                err->flags = why.flags;
            }
        } else if (rc != TN_OK && err != NULL) {
            *err = why;
        }
    }
    grow_printf(ret, "],\"done\":%" PRIu64 ",\"failed\":%u,\"took\":%" PRIu64 "}", b.done,
                b.nerrors, b.took);
    *ret_errors = b.nerrors != 0;
    if (rc == TN_OK && ret->rc != TN_OK) {
        rc = es_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    free(b.later);
    free(b.pieces);
    grow_free(&b.path);
    grow_free(&b.text);
    grow_free(&b.again);
    return rc;
}
