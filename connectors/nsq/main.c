/* SPDX-License-Identifier: Apache-2.0 */
/* NSQ connector: the table of methods, and the contract's functions. */
#include "nsq.h"
#include "common/args.h"

#include <stdlib.h>

const tn_host *nsq_host; /* set once by load() */

#define ARGS_MAX 8
/* name, parameters, what it does, function */
#define METHODS(X)                                                                                 \
    X(publish, "topic:str, message:any, defer:any=None",                                           \
      "Publishes to one nsqd and waits until it has taken the message: True. Texts and bytes as "  \
      "they are, anything else as JSON. defer: milliseconds until it is delivered.",               \
      nsq_publish)                                                                                 \
    X(publish_many, "topic:str, messages:list", "Publishes all messages of a list or none: True.", \
      nsq_publish_many)                                                                            \
    X(query, "method:str, path:any=None, query:any=None, body:any=None",                           \
      "A request to nsqlookupd: (status, parsed answer). Also query('GET /nodes').", nsq_query)    \
    X(nodes, "", "The nsqd that are known: [{host, port}].", nsq_list_nodes)                       \
    X(check, "", "nsqlookupd, or every fixed nsqd, answers.", nsq_check_all)

enum {
    NONE,
#define AS_ID(name, args, doc, run) M_##name,
    METHODS(AS_ID)
#undef AS_ID
        COUNT
};
static const tn_method methods[] = {
#define AS_ROW(name, args, doc, run)                                                               \
    {#name, args, doc, M_##name, M_##name == M_query ? TN_M_TUPLE : 0},
    METHODS(AS_ROW)
#undef AS_ROW
        {0}};
static nsq_method *const verbs[] = {
#define AS_VERB(name, args, doc, run) [M_##name] = run,
    METHODS(AS_VERB)
#undef AS_VERB
};

/* ---- life -------------------------------------------------------------------------------------------- */

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    nsq_host = host;
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    struct nsq *nsq = inst;
    tn_rc rc = http_attach(nsq_host, err);
    if (rc != TN_OK) {
        return rc;
    }
    nsq->conf = conf;
    nsq_http_conf(nsq);
    nsq->tcp = strcmp(nsq->conf->protocol, "tcp") == 0;
    pthread_mutex_init(&nsq->lock, NULL);
    return TN_OK;
}

static void on_detach(void *inst)
{
    struct nsq *nsq = inst;
    stream_tls_finish(&nsq->tls);
    pthread_mutex_destroy(&nsq->lock);
    http_detach();
}

static void on_close(void *inst, void *conn, uint32_t why)
{
    struct nsq_conn *c = conn;
    (void)inst;
    nsq_leave(c, why == TN_CLOSE_NORMAL);
    nsq_nodes_finish(&c->nodes);
    http_reply_free(&c->web);
    http_close(c->http);
    message_free(&c->out);
    message_free(&c->in);
    pthread_mutex_destroy(&c->fd_lock);
    free(c);
}

/* Good when somebody to publish to is known, and over the framed protocol when one of them lets us in. */
static tn_rc on_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct nsq *nsq = inst;
    tn_err own = TN_ERR_INIT;
    if (deadline_ns != 0 && nsq_host->now_ns() >= deadline_ns) {
        return nsq_host->fail(err, TN_E_TIMEOUT, "no time left to connect");
    }
    tn_rc rc = nsq_prepare_tls(nsq, err);
    struct nsq_conn *c = rc == TN_OK ? calloc(1, sizeof *c) : NULL;
    if (rc != TN_OK || c == NULL) {
        return rc != TN_OK ? rc : nsq_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    c->inst = nsq;
    c->fd = -1;
    pthread_mutex_init(&c->fd_lock, NULL);
    rc = http_open(nsq_host, &nsq->web, &c->http, &own);
    rc = rc == TN_OK ? nsq_nodes_ready(c, deadline_ns, &own) : rc;
    for (uint32_t i = 0; rc == TN_OK && nsq->tcp && !c->up && i < c->nodes.n; i++) {
        tn_rc one = nsq_join(c, &c->nodes.node[i], deadline_ns, &own);
        if (i + 1 == c->nodes.n || one == TN_E_DENIED || one == TN_E_CONFIG) {
            rc = one;
        }
    }
    if (rc != TN_OK) {
        on_close(inst, c, TN_CLOSE_BROKEN);
        if (err != NULL) {
            *err = own;
            err->flags &= ~TN_ERR_CONN_BROKEN;
        }
        return rc;
    }
    *ret_conn = c;
    return TN_OK;
}

/* ---- work -------------------------------------------------------------------------------------------- */

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct nsq *nsq = inst;
    struct nsq_conn *c = conn;
    tn_err own = TN_ERR_INIT;
    tn_val all[ARGS_MAX];
    if (method == NONE || method >= COUNT) {
        return nsq_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
    if (deadline_ns != 0 && nsq_host->now_ns() >= deadline_ns) {
        return nsq_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    struct tape *out = tape_new(nsq_host, (size_t)nsq->conf->max_result.n * 2, err);
    if (out == NULL) {
        return TN_E_NOMEM;
    }
    struct nsq_call k = {.c = c,
                         .a = all,
                         .deadline_ns = nsq_sooner(deadline_ns, nsq->conf->timeout * 1000),
                         .out = out,
                         .err = &own};
    tn_rc rc = args_complete(nsq_host, &methods[method - 1], args, all, ARGS_MAX, &own);
    atomic_store(&c->working, true);
    http_enter(c->http);
    rc = rc == TN_OK ? verbs[method](&k) : rc;
    http_leave(c->http);
    atomic_store(&c->working, false);
    nsq_waiting(c, -1, NULL);
    rc = rc == TN_OK ? tape_judge(out, nsq_host, &own) : rc;
    if (rc == TN_E_UNAVAIL && atomic_load(&c->canceled)) {
        rc = nsq_broken(nsq_host->fail(&own, TN_E_CANCELED, "the operation was told to stop"),
                        &own);
    }
    if (rc != TN_OK) {
        tape_free(out);
        if (err != NULL) {
            *err = own;
        }
        return rc;
    }
    *ret = (tn_result){out, method, 0};
    return TN_OK;
}

static tn_rc on_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    struct tape out;
    tn_err own = TN_ERR_INIT;
    struct nsq *nsq = inst;
    tape_init(&out, 65536);
    struct nsq_call k = {.c = conn,
                         .deadline_ns = nsq_sooner(deadline_ns, nsq->conf->timeout * 1000),
                         .out = &out,
                         .err = &own};
    tn_rc rc = nsq_check_all(&k);
    nsq_waiting(conn, -1, NULL);
    tape_finish(&out);
    if (rc != TN_OK && err != NULL) {
        *err = own;
    }
    return rc;
}

/* Publishing leaves nothing behind. */
static tn_rc on_reset(void *inst, void *conn, tn_err *err)
{
    (void)inst, (void)err;
    atomic_store(&((struct nsq_conn *)conn)->canceled, false);
    return TN_OK;
}

static void on_cancel(void *inst, void *conn)
{
    struct nsq_conn *c = conn;
    (void)inst;
    if (atomic_load(&c->working)) { /* a late one must not end a healthy connection */
        atomic_store(&c->canceled, true);
        http_cancel(c->http);
        pthread_mutex_lock(&c->fd_lock);
        if (c->fd >= 0) {
            const struct stream s = {.fd = c->fd};
            stream_interrupt(&s);
        }
        pthread_mutex_unlock(&c->fd_lock);
    }
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = on_open,
    .check = on_check,
    .reset = on_reset,
    .close = on_close,
    .invoke = on_invoke,
    .emit = tape_emit,
    .result_free = tape_result_free,
    .cancel = on_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "nsq", .version = "1.0.0",
          .summary = "NSQ 1.0 and later: publishing", .caps = TN_CAP_CANCEL, .config = nsq_fields,
          .conf_size = sizeof(struct nsq_conf), .inst_size = sizeof(struct nsq), .load = on_load,
          .attach = on_attach, .detach = on_detach, .ops = &ops)
