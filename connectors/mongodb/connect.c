/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: a client of libmongoc without threads for each; what a call may leave behind. */
#include "mongodb.h"

#include <stdlib.h>
#include <string.h>

#define UNAUTHORIZED 13 /* code of the server */

void mg_begin(struct mg_conn *c, uint64_t deadline_ns)
{
    c->deadline_ns = deadline_ns;
    c->nread = 0;
    c->over = false;
    c->why = (tn_err)TN_ERR_INIT;
    atomic_store(&c->canceled, false);
    atomic_store(&c->working, true);
}

void mg_end(struct mg_conn *c)
{
    atomic_store(&c->working, false);
}

/* The first connection reads the certificates; the others use what it made. */
static tn_rc prepare_tls(struct mg *inst, const mongoc_uri_t *uri, tn_err *err)
{
    const struct mg_conf *conf = inst->conf;
    tn_rc rc = TN_OK;
    pthread_mutex_lock(&inst->lock);
    if (!inst->tls_made) {
        rc = stream_tls_init(mg_host, mg_tls_mode(conf, uri), conf->tls_ca, conf->tls_cert,
                             conf->tls_key.s, &inst->tls, err);
        inst->tls_made = rc == TN_OK;
    }
    pthread_mutex_unlock(&inst->lock);
    return rc;
}

static tn_rc ping(struct mg_conn *c, tn_err *err)
{
    bson_t command = BSON_INITIALIZER;
    bson_error_t error;
    BSON_APPEND_INT32(&command, "ping", 1);
    bool ok = mongoc_client_command_simple(c->client, "admin", &command, NULL, NULL, &error);
    bson_destroy(&command);
    return ok ? TN_OK : mg_fail(c, &error, err);
}

/* Anybody may ping. Without an account it takes another command to learn that the server wants one. */
static tn_rc admitted(struct mg_conn *c, tn_err *err)
{
    bson_t command = BSON_INITIALIZER, filter;
    bson_error_t error = {0};
    BSON_APPEND_INT32(&command, "listDatabases", 1);
    BSON_APPEND_BOOL(&command, "nameOnly", true);
    BSON_APPEND_BOOL(&command, "authorizedDatabases", true);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "filter", &filter);
    BSON_APPEND_UTF8(&filter, "name", "");
    bson_append_document_end(&command, &filter);
    bool ok = mongoc_client_command_simple(c->client, "admin", &command, NULL, NULL, &error);
    bson_destroy(&command);
    bool refused = error.domain == MONGOC_ERROR_SERVER && error.code == UNAUTHORIZED;
    return ok || (!refused && c->why.rc == TN_OK) ? TN_OK : mg_fail(c, &error, err);
}

static void drop(struct mg_conn *c)
{
    if (c->session != NULL) {
        mongoc_client_session_destroy(c->session);
    }
    if (c->client != NULL) {
        mongoc_client_destroy(c->client);
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static tn_rc new_client(struct mg_conn *c, uint64_t deadline_ns, tn_err *err)
{
    mongoc_uri_t *uri = NULL;
    bson_error_t error;
    tn_rc rc = mg_uri(c->inst->conf, deadline_ns, &uri, err);
    rc = rc == TN_OK ? prepare_tls(c->inst, uri, err) : rc;
    if (rc == TN_OK && (c->client = mongoc_client_new_from_uri_with_error(uri, &error)) == NULL) {
        rc = mg_host->fail(err, TN_E_UNAVAIL, "DNS: %.300s", error.message); /* of mongodb+srv:// */
    }
    mongoc_uri_destroy(uri);
    if (rc == TN_OK) {
        mongoc_client_set_error_api(c->client, MONGOC_ERROR_API_VERSION_2);
        mongoc_client_set_stream_initiator(c->client, mg_dial, c);
    }
    return rc;
}

tn_rc mg_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    static atomic_uint serial;
    struct mg_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return mg_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    c->inst = inst;
    c->serial = atomic_fetch_add(&serial, 1) % 0x7fffffff + 1;
    pthread_mutex_init(&c->lock, NULL);
    c->opening = true;
    mg_begin(c, deadline_ns);
    tn_rc rc = new_client(c, deadline_ns, err);
    rc = rc == TN_OK ? ping(c, err) : rc;
    if (rc == TN_OK && (c->inst->conf->user == NULL || c->inst->conf->user[0] == '\0')) {
        rc = admitted(c, err);
    }
    mg_end(c);
    c->opening = false;
    if (rc != TN_OK) {
        drop(c);
        return rc;
    }
    c->fresh = true;
    *ret_conn = c;
    return TN_OK;
}

tn_rc mg_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    (void)inst;
    mg_begin(conn, deadline_ns);
    tn_rc rc = ping(conn, err);
    mg_end(conn);
    return rc;
}

/* A session that was forgotten takes its transaction with it; so do cursors that were not read to their end. */
tn_rc mg_reset(void *inst, void *conn, tn_err *err)
{
    struct mg_conn *c = conn;
    (void)inst, (void)err;
    if (c->session != NULL || c->ncursors != 0) {
        mg_begin(c, mg_host->now_ns() + 500000000);
        mg_close_cursors(c);
        if (c->session != NULL) {
            mongoc_client_session_destroy(c->session);
            c->session = NULL;
        }
        mg_end(c);
        if (c->why.rc != TN_OK) {
            return mg_host->fail(err, TN_E_UNAVAIL,
                                 "the server did not end what the call had open");
        }
    }
    c->fresh = true;
    return TN_OK;
}

void mg_close(void *inst, void *conn, uint32_t why)
{
    struct mg_conn *c = conn;
    (void)inst;
    /* Sessions are ended with a word to the server; that must not wait for one that is gone. */
    mg_begin(c, why == TN_CLOSE_NORMAL ? mg_host->now_ns() + 200000000 : mg_host->now_ns());
    drop(c);
}

void mg_cancel(void *inst, void *conn)
{
    struct mg_conn *c = conn;
    (void)inst;
    if (atomic_load(&c->working)) { /* a late one must not end a healthy connection */
        atomic_store(&c->canceled, true);
        pthread_mutex_lock(&c->lock);
        for (struct mg_line *l = c->lines; l != NULL; l = l->next) {
            stream_interrupt(&l->s);
        }
        pthread_mutex_unlock(&c->lock);
    }
}
