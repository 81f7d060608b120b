/* SPDX-License-Identifier: Apache-2.0 */
/* MQTT connector: publishing, confirmed as the QoS promises. */
#include "mqtt.h"

#include "common/message.h"
#include "common/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARGS_MAX 9

struct mq { /* an instance */
    const struct mq_conf *conf;
    pthread_mutex_t lock;
    struct stream_tls tls; /* made by the first connection */
    bool tls_made;
    unsigned serial; /* (lock) */
};
struct mq_conn {
    struct mq_link link;
    unsigned next_id;
    atomic_bool working, canceled;
};

#define PUBLISH_ARGS                                                                                         \
    "topic:any, message:any, qos:any=0, retain:any=False, user_properties:any=None, content_type:any=None, " \
    "response_topic:any=None, correlation_data:any=None, message_expiry:any=None"
enum { NONE, M_publish, M_pub, M_check, COUNT };
static const tn_method methods[] = {
    {"publish", PUBLISH_ARGS,
     "Publishes; with QoS 1 and 2 it returns when the server has confirmed. Texts and bytes as they are, lists and "
     "dicts as JSON. message_expiry in seconds; what follows retain needs MQTT 5.",
     M_publish, 0},
    {"pub", PUBLISH_ARGS, "publish()", M_pub, 0},
    {"check", "", "Asks the server for a sign of life; publishes nothing.", M_check, 0},
    {0}};

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    mq_host = host;
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    struct mq *mq = inst;
    (void)err;
    mq->conf = conf;
    pthread_mutex_init(&mq->lock, NULL);
    return TN_OK;
}

static void on_detach(void *inst)
{
    struct mq *mq = inst;
    stream_tls_finish(&mq->tls);
    pthread_mutex_destroy(&mq->lock);
}

/* ---- connections ------------------------------------------------------------------------------------- */

/* Two clients with one id throw each other out, so each connection of each process has its own. */
static tn_rc prepare(struct mq *mq, char *client_id, size_t cap, tn_err *err)
{
    const struct mq_conf *c = mq->conf;
    tn_rc rc = TN_OK;
    char host[16] = "";
    gethostname(host, sizeof host - 1);
    pthread_mutex_lock(&mq->lock);
    unsigned serial = ++mq->serial;
    if (!mq->tls_made) {
        rc = stream_tls_init(mq_host, c->tls, c->tls_ca, c->tls_cert, c->tls_key.s, &mq->tls, err);
        mq->tls_made = rc == TN_OK;
    }
    pthread_mutex_unlock(&mq->lock);
    snprintf(client_id, cap, "%s-%s-%d-%u",
             c->client_id != NULL && c->client_id[0] ? c->client_id : "tenon", host, (int)getpid(),
             serial);
    return rc;
}

static tn_rc on_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct mq *mq = inst;
    char id[128];
    tn_rc rc = prepare(mq, id, sizeof id, err);
    struct mq_conn *c = rc == TN_OK ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) {
        return rc != TN_OK ? rc : mq_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    const struct mq_open how = {.client_id = {id, strlen(id)}, .clean = true, .will = true};
    c->link.conf = mq->conf;
    c->link.stream.fd = -1;
    rc = mq_link_open(&c->link, &mq->tls, &how, deadline_ns, err);
    if (rc != TN_OK) {
        mq_link_close(&c->link, false);
        free(c);
        return rc;
    }
    *ret_conn = c;
    return TN_OK;
}

static void on_close(void *inst, void *conn, uint32_t why)
{
    struct mq_conn *c = conn;
    (void)inst;
    mq_link_close(&c->link, why == TN_CLOSE_NORMAL);
    free(c);
}

static tn_rc on_reset(void *inst, void *conn, tn_err *err)
{
    (void)inst;
    return atomic_load(
               &((struct mq_conn *)conn)->canceled) /* too late for its call, but the line is cut */
               ? mq_host->fail(err, TN_E_UNAVAIL, "the call was told to stop")
               : TN_OK;
}

static void on_cancel(void *inst, void *conn)
{
    struct mq_conn *c = conn;
    (void)inst;
    if (atomic_load(&c->working)) {
        atomic_store(&c->canceled, true);
        stream_interrupt(&c->link.stream);
    }
}

/* What the server said while nobody listened; a closed connection is told before anything is sent. */
static tn_rc catch_up(struct mq_conn *c, tn_err *err)
{
    struct mq_packet p;
    struct mq_said said;
    tn_rc rc = TN_OK;
    if (stream_stale(&c->link.stream)) {
        rc = mq_fill(&c->link, mq_host->now_ns() + 50000000ull, err);
        rc = rc == TN_E_TIMEOUT ? TN_OK : rc;
    }
    while (rc == TN_OK && (rc = mq_next(&c->link, &p, &said, err)) == TN_OK) {
        rc = p.type == MQ_DISCONNECT ? mq_goodbye(&c->link, &said, err) : TN_OK;
    }
    if (rc != TN_E_NOTFOUND && err != NULL) {
        err->flags |= TN_ERR_RETRY | TN_ERR_CONN_BROKEN;
    }
    return rc == TN_E_NOTFOUND ? TN_OK : rc;
}

/* ---- asking ------------------------------------------------------------------------------------------ */

/* The packet of that type (and id); others are none of our concern. */
static tn_rc await(struct mq_conn *c, unsigned type, unsigned id, uint64_t deadline_ns,
                   struct mq_said *ret, tn_err *err)
{
    struct mq_packet p;
    tn_rc rc;
    while ((rc = mq_wait(&c->link, deadline_ns, &p, ret, err)) == TN_OK) {
        if (p.type == MQ_DISCONNECT) {
            return mq_goodbye(&c->link, ret, err);
        }
        if (p.type == type && (id == 0 || ret->id == id)) {
            return TN_OK;
        }
    }
    return rc;
}

static tn_rc on_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    struct mq_conn *c = conn;
    struct mq_said said;
    (void)inst;
    tn_rc rc = catch_up(c, err);
    rc = rc == TN_OK ? mq_send_id(&c->link, MQ_PINGREQ, 0, deadline_ns, err) : rc;
    return rc == TN_OK ? await(c, MQ_PINGRESP, 0, deadline_ns, &said, err) : rc;
}

/* ---- publishing -------------------------------------------------------------------------------------- */

static bool given(const tn_val *v)
{
    return v->type != TN_T_NULL;
}

/* Text of a str, bytes or number; room holds the digits of a number. */
static tn_rc text_arg(const char *name, const tn_val *v, char room[40], tn_str *ret, tn_err *err)
{
    int n = 0;
    switch (v->type) {
    case TN_T_STR:
    case TN_T_BYTES:
    case TN_T_DECIMAL:
        *ret = (tn_str){v->u.s, v->n};
        return TN_OK;
    case TN_T_INT:
        n = snprintf(room, 40, "%" PRId64, v->u.i);
        break;
    case TN_T_BOOL:
        n = snprintf(room, 40, "%s", v->u.i ? "true" : "false");
        break;
    case TN_T_FLOAT:
        n = snprintf(room, 40, "%.17g", v->u.f);
        break;
    case TN_T_NULL:
        break;
    default:
        return mq_host->fail(err, TN_E_INVAL, "%s must be text, bytes or a number", name);
    }
    *ret = (tn_str){room, (size_t)n};
    return TN_OK;
}

/* As text_arg(); lists and dicts as JSON, in `json`. */
static tn_rc message_arg(const tn_val *v, char room[40], struct message_buf *json, tn_str *ret,
                         tn_err *err)
{
    if (v->type != TN_T_LIST && v->type != TN_T_MAP) {
        return text_arg("message", v, room, ret, err);
    }
    tn_rc rc = message_body(mq_host, json, v, err);
    *ret = (tn_str){json->s, json->n};
    return rc == TN_OK && json->failed ? mq_host->fail(err, TN_E_NOMEM, "no memory for the message")
                                       : rc;
}

static tn_rc int_arg(const char *name, const tn_val *v, int64_t most, int64_t *ret, tn_err *err)
{
    if (v->type == TN_T_NULL) {
        *ret = 0;
    } else if ((v->type == TN_T_INT || v->type == TN_T_BOOL) && v->u.i >= 0 && v->u.i <= most) {
        *ret = v->u.i;
    } else {
        return mq_host->fail(err, TN_E_INVAL, "%s must be a number from 0 to %lld", name,
                             (long long)most);
    }
    return TN_OK;
}

/* A topic that is published to (section 4.7): text, no wildcards, no zero byte. */
static tn_rc topic_check(tn_str t, tn_err *err)
{
    if (t.n == 0 || t.n > 65535 || !utf8_valid(t.s, t.n) || memchr(t.s, '\0', t.n) != NULL) {
        return mq_host->fail(err, TN_E_INVAL,
                             "a topic is text of 1 to 65,535 bytes without a zero byte");
    }
    if (memchr(t.s, '+', t.n) != NULL || memchr(t.s, '#', t.n) != NULL) {
        return mq_host->fail(err, TN_E_INVAL,
                             "topic \"%.*s\" has a wildcard; those are for subscriptions",
                             (int)(t.n < 200 ? t.n : 200), t.s);
    }
    return TN_OK;
}

static tn_rc put_properties(const struct mq_link *l, const tn_args *a, struct mq_buf *b,
                            tn_err *err)
{
    static const struct {
        const char *name;
        uint8_t arg, id;
    } texts[] = {
        {"content_type", 5, 0x03}, {"response_topic", 6, 0x08}, {"correlation_data", 7, 0x09}};
    const tn_val *users = &a->pos[4];
    struct mq_buf props = {0};
    char room[40];
    int64_t expiry;
    tn_str s;
    tn_rc rc = int_arg("message_expiry", &a->pos[8], UINT32_MAX, &expiry, err);
    bool any = given(users) || given(&a->pos[8]);
    if (rc == TN_OK && given(&a->pos[8])) {
        mq_add1(&props, 0x02);
        mq_add4(&props, (uint32_t)expiry);
    }
    for (size_t i = 0; rc == TN_OK && i < sizeof texts / sizeof *texts; i++) {
        if (given(&a->pos[texts[i].arg])) {
            rc = text_arg(texts[i].name, &a->pos[texts[i].arg], room, &s, err);
            mq_add1(&props, texts[i].id);
            mq_add_text(&props, rc == TN_OK ? s : (tn_str){"", 0});
            any = true;
        }
    }
    if (rc == TN_OK && given(users) && users->type != TN_T_MAP) {
        rc = mq_host->fail(err, TN_E_INVAL, "user_properties must be a dict of texts");
    }
    for (uint32_t i = 0; rc == TN_OK && given(users) && i < users->n; i++) {
        tn_str key;
        char more[40];
        rc = text_arg("a name of user_properties", &users->u.map[i].key, more, &key, err);
        rc = rc == TN_OK
                 ? text_arg("a value of user_properties", &users->u.map[i].val, room, &s, err)
                 : rc;
        if (rc == TN_OK) {
            mq_add1(&props, 0x26);
            mq_add_text(&props, key);
            mq_add_text(&props, s);
        }
    }
    if (rc == TN_OK && any && !l->v5) {
        rc = mq_host->fail(err, TN_E_UNSUPP,
                           "properties need MQTT 5; this connector's protocol is 3.1.1");
    }
    if (rc == TN_OK && l->v5) {
        mq_add_size(b, (uint32_t)props.n);
        mq_add(b, props.p, props.n);
        b->failed |= props.failed;
    }
    mq_free(&props);
    return rc;
}

static tn_rc not_taken(const struct mq_link *l, unsigned type, const struct mq_said *said,
                       tn_str topic, tn_err *err)
{
    const char *why = mq_reason(l->v5, (uint8_t)type, said->reason);
    tn_rc rc = said->reason == 0x87 ? TN_E_DENIED : said->reason == 0x97 ? TN_E_LIMIT : TN_E_REMOTE;
    mq_host->fail(err, rc, "the server does not take the message to %.*s: %s%s%.*s",
                  (int)(topic.n < 150 ? topic.n : 150), topic.s, why, said->text.n > 0 ? ": " : "",
                  (int)(said->text.n < 150 ? said->text.n : 150),
                  said->text.n > 0 ? said->text.s : "");
    if (err != NULL) {
        err->native = (int32_t)said->reason;
    }
    return rc;
}

/* QoS 1: PUBACK. QoS 2: PUBREC, PUBREL, PUBCOMP; a server that knows nothing of it by then may have lost it. */
static tn_rc confirm(struct mq_conn *c, int64_t qos, unsigned id, tn_str topic,
                     uint64_t deadline_ns, tn_err *err)
{
    struct mq_said said;
    unsigned type = qos == 1 ? MQ_PUBACK : MQ_PUBREC;
    tn_rc rc = qos > 0 ? await(c, type, id, deadline_ns, &said, err) : TN_OK;
    if (rc == TN_OK && qos > 0 && said.reason >= 0x80) {
        return not_taken(&c->link, type, &said, topic, err);
    }
    if (rc == TN_OK && qos == 2) {
        rc = mq_send_id(&c->link, MQ_PUBREL, id, deadline_ns, err);
        rc = rc == TN_OK ? await(c, MQ_PUBCOMP, id, deadline_ns, &said, err) : rc;
        if (rc == TN_OK && said.reason >= 0x80) {
            return not_taken(&c->link, MQ_PUBCOMP, &said, topic, err);
        }
    }
    if (rc == TN_E_TIMEOUT) {
        mq_host->fail(
            err, rc, "the server did not confirm the message in time; it may have it all the same");
        if (err != NULL) {
            err->flags |= TN_ERR_CONN_BROKEN;
        }
    }
    return rc;
}

static tn_rc publish(struct mq_conn *c, const tn_args *a, uint64_t deadline_ns, tn_err *err)
{
    struct mq_buf head = {0};
    char room[40], more[40];
    tn_str topic = {NULL, 0}, message = {NULL, 0};
    struct message_buf json = {NULL, 0, 0, false};
    int64_t qos = 0, retain = 0;
    tn_rc rc = text_arg("topic", &a->pos[0], more, &topic, err);
    rc = rc == TN_OK ? topic_check(topic, err) : rc;
    rc = rc == TN_OK ? message_arg(&a->pos[1], room, &json, &message, err) : rc;
    rc = rc == TN_OK ? int_arg("qos", &a->pos[2], 2, &qos, err) : rc;
    rc = rc == TN_OK ? int_arg("retain", &a->pos[3], 1, &retain, err) : rc;
    if (rc == TN_OK &&
        (qos > (int64_t)c->link.server.max_qos || (retain && c->link.server.no_retain))) {
        rc = mq_host->fail(err, TN_E_UNSUPP,
                           qos > (int64_t)c->link.server.max_qos
                               ? "the server takes QoS up to %u only"
                               : "the server keeps no retained messages (QoS %u)",
                           c->link.server.max_qos);
    }
    unsigned id = 0;
    if (rc == TN_OK) {
        mq_add_text(&head, topic);
        if (qos > 0) {
            id = c->next_id = c->next_id % 65535 + 1;
            mq_add2(&head, id);
        }
        rc = put_properties(&c->link, a, &head, err);
    }
    rc = rc == TN_OK ? catch_up(c, err) : rc;
    rc = rc == TN_OK ? mq_send(&c->link, MQ_PUBLISH, (unsigned)qos << 1 | (unsigned)retain, &head,
                               message, deadline_ns, err)
                     : rc;
    mq_free(&head);
    message_free(&json);
    return rc == TN_OK ? confirm(c, qos, id, topic, deadline_ns, err) : rc;
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct mq_conn *c = conn;
    tn_val all[ARGS_MAX] = {{0}};
    tn_args a = *args;
    if (method == NONE || method >= COUNT) {
        return mq_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
    if (method != M_check && args->npos < 2) {
        return mq_host->fail(err, TN_E_INVAL,
                             "publish(" PUBLISH_ARGS "): a topic and a message are needed");
    }
    if (args->npos > 0) {
        memcpy(all, args->pos, (args->npos < ARGS_MAX ? args->npos : ARGS_MAX) * sizeof *all);
    }
    a.pos = all;
    atomic_store(&c->working, true);
    tn_rc rc = method == M_check ? on_check(inst, conn, deadline_ns, err)
                                 : publish(c, &a, deadline_ns, err);
    atomic_store(&c->working, false);
    if (rc == TN_E_UNAVAIL && atomic_load(&c->canceled)) {
        rc = mq_host->fail(err, TN_E_CANCELED,
                           "the message was told to stop; the server may have it all the same");
        if (err != NULL) {
            err->flags |= TN_ERR_CONN_BROKEN;
        }
    }
    if (rc == TN_OK) {
        *ret = (tn_result){NULL, method, 0};
    }
    return rc;
}

static tn_rc on_emit(void *inst, const tn_result *r, tn_sink *sink, tn_err *err)
{
    const tn_val none = {.type = TN_T_NULL};
    (void)inst, (void)r, (void)err;
    return sink->ops->scalar(sink, &none);
}

static void on_free(void *inst, tn_result *r)
{
    (void)inst;
    r->native = NULL;
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = on_open,
    .check = on_check,
    .reset = on_reset,
    .close = on_close,
    .invoke = on_invoke,
    .emit = on_emit,
    .result_free = on_free,
    .cancel = on_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "mqtt", .version = "1.0.0",
          .summary = "MQTT 5 and 3.1.1", .caps = TN_CAP_CANCEL, .config = mq_fields,
          .conf_size = sizeof(struct mq_conf), .inst_size = sizeof(struct mq), .load = on_load,
          .attach = on_attach, .detach = on_detach, .ops = &ops)
