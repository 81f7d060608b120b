/* SPDX-License-Identifier: Apache-2.0 */
/* A session on a connection that a script has for itself, with its transactions. */
#include "mongodb.h"

#include <string.h>

/* {"readConcern": {"level": …}, "writeConcern": {"w": …, "j": …, "wtimeout": …}, "maxCommitTimeMS": …,
 * "causalConsistency": …}: everything may be absent. */
struct asked {
    mongoc_transaction_opt_t *txn;
    mongoc_session_opt_t *session;
};

static void asked_finish(struct asked *a)
{
    mongoc_transaction_opts_destroy(a->txn);
    mongoc_session_opts_destroy(a->session);
}

static void read_concern(struct asked *a, bson_iter_t *it)
{
    bson_iter_t inside;
    if (bson_iter_recurse(it, &inside) && bson_iter_find(&inside, "level") &&
        bson_iter_type(&inside) == BSON_TYPE_UTF8) {
        mongoc_read_concern_t *rc = mongoc_read_concern_new();
        mongoc_read_concern_set_level(rc, bson_iter_utf8(&inside, NULL));
        mongoc_transaction_opts_set_read_concern(a->txn, rc);
        mongoc_read_concern_destroy(rc);
    }
}

static void write_concern(struct asked *a, bson_iter_t *it)
{
    bson_iter_t inside;
    mongoc_write_concern_t *wc = mongoc_write_concern_new();
    bool some = bson_iter_recurse(it, &inside);
    while (some && bson_iter_next(&inside)) {
        const char *key = bson_iter_key(&inside);
        if (strcmp(key, "w") == 0 && bson_iter_type(&inside) == BSON_TYPE_UTF8) {
            mongoc_write_concern_set_wtag(wc, bson_iter_utf8(&inside, NULL));
        } else if (strcmp(key, "w") == 0) {
            int64_t w = bson_iter_as_int64(&inside);
            mongoc_write_concern_set_w(wc, w < 1 ? 1 : w > 50 ? 50 : (int32_t)w);
        } else if (strcmp(key, "j") == 0) {
            mongoc_write_concern_set_journal(wc, bson_iter_as_bool(&inside));
        } else if (strcmp(key, "wtimeout") == 0) {
            mongoc_write_concern_set_wtimeout_int64(wc, bson_iter_as_int64(&inside));
        }
    }
    mongoc_transaction_opts_set_write_concern(a->txn, wc);
    mongoc_write_concern_destroy(wc);
}

static tn_rc ask(const tn_val *v, struct asked *a, tn_err *err)
{
    bson_t doc;
    bson_iter_t it;
    const char *why = "they are no document";
    if (v->type != TN_T_BYTES || !bson_init_static(&doc, v->u.b, v->n) || !mg_sound(&doc, &why)) {
        return mg_host->fail(err, TN_E_INVAL, "the options of the session cannot be used: %s", why);
    }
    a->txn = mongoc_transaction_opts_new();
    a->session = mongoc_session_opts_new();
    bson_iter_init(&it, &doc);
    while (bson_iter_next(&it)) {
        const char *key = bson_iter_key(&it);
        if (strcmp(key, "readConcern") == 0 && BSON_ITER_HOLDS_DOCUMENT(&it)) {
            read_concern(a, &it);
        } else if (strcmp(key, "writeConcern") == 0 && BSON_ITER_HOLDS_DOCUMENT(&it)) {
            write_concern(a, &it);
        } else if (strcmp(key, "maxCommitTimeMS") == 0) {
            mongoc_transaction_opts_set_max_commit_time_ms(a->txn, bson_iter_as_int64(&it));
        } else if (strcmp(key, "causalConsistency") == 0) {
            mongoc_session_opts_set_causal_consistency(a->session, bson_iter_as_bool(&it));
        } else if (strcmp(key, "snapshot") == 0) {
            mongoc_session_opts_set_snapshot(a->session, bson_iter_as_bool(&it));
        }
    }
    return TN_OK;
}

static tn_rc start(struct mg_conn *c, const struct asked *a, tn_err *err)
{
    bson_error_t error;
    c->session = mongoc_client_start_session(c->client, a->session, &error);
    if (c->session != NULL) {
        return TN_OK;
    }
    return error.domain == MONGOC_ERROR_CLIENT && error.code == MONGOC_ERROR_CLIENT_SESSION_FAILURE
               ? mg_host->fail(err, TN_E_UNSUPP, "this server has no sessions: %.300s",
                               error.message)
               : mg_fail(c, &error, err);
}

static bool step(struct mg_conn *c, const char *what, const struct asked *a, bson_t *reply,
                 bson_error_t *error)
{
    if (strcmp(what, "begin") == 0) {
        return mongoc_client_session_start_transaction(c->session, a->txn, error);
    }
    if (strcmp(what, "abort") == 0) {
        return mongoc_client_session_abort_transaction(c->session, error);
    }
    bson_destroy(reply);
    return mongoc_client_session_commit_transaction(c->session, reply, error);
}

tn_rc mg_session(struct mg_conn *c, const tn_args *args, uint64_t deadline_ns, tn_err *err)
{
    static const char *const steps[] = {"start", "begin", "commit", "abort", "end"};
    const tn_val none = {.type = TN_T_NULL}, *v = args->npos != 0 ? &args->pos[0] : &none;
    const char *what = NULL;
    struct asked a = {NULL, NULL};
    (void)deadline_ns;
    for (size_t i = 0; v->type == TN_T_STR && i < sizeof steps / sizeof *steps; i++) {
        bool same = v->n == strlen(steps[i]) && memcmp(v->u.s, steps[i], v->n) == 0;
        what = same ? steps[i] : what;
    }
    if (what == NULL || args->npos < 2 || (c->session == NULL) != (strcmp(what, "start") == 0)) {
        return mg_host->fail(err, TN_E_INVAL,
                             "session(step, options): this connection has %s session",
                             c->session != NULL ? "a" : "no");
    }
    tn_rc rc = ask(&args->pos[1], &a, err);
    if (rc == TN_OK && strcmp(what, "start") == 0) {
        rc = start(c, &a, err);
    } else if (rc == TN_OK && strcmp(what, "end") == 0) {
        mongoc_client_session_destroy(c->session); /* ends its transaction, too */
        c->session = NULL;
    } else if (rc == TN_OK) {
        bson_t reply = BSON_INITIALIZER;
        bson_error_t error = {0};
        rc = step(c, what, &a, &reply, &error) ? TN_OK : mg_fail(c, &error, err);
        if (rc != TN_OK && mongoc_error_has_label(&reply, "UnknownTransactionCommitResult") &&
            err != NULL) {
            err->flags |= TN_ERR_RETRY;
        }
        bson_destroy(&reply);
    }
    asked_finish(&a);
    return rc;
}
