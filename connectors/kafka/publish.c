/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing: messages are handed to the library and waited for. What was not confirmed in time is taken back; the error says
 * whether it may have been written all the same. */
#include "kafka.h"

#include <stdio.h>
#include <stdlib.h>

#define HOPELESS_NS 500000000ull
#define SLICE_MS    100

void kafka_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct kafka_conn *c = opaque;
    uint64_t number = (uint64_t)(uintptr_t)m->_private;
    (void)rk;
    if (c->answer == NULL || number < c->first || number - c->first >= c->n) {
        return; /* of an earlier call */
    }
    struct kafka_answer *a = &c->answer[number - c->first];
    if (!a->done) {
        c->done++;
        *a = (struct kafka_answer){.done = true,
                                   .err = m->err,
                                   .maybe = m->err != RD_KAFKA_RESP_ERR_NO_ERROR &&
                                            rd_kafka_message_status(m) !=
                                                RD_KAFKA_MSG_STATUS_NOT_PERSISTED,
                                   .partition = m->partition,
                                   .offset = m->offset};
    }
}

/* ---- arguments --------------------------------------------------------------------------------------- */

static tn_rc topic_of(const tn_val *v, char ret[256], tn_err *err)
{
    bool ok = v->type == TN_T_STR && v->n > 0 && v->n < 250;
    for (uint32_t i = 0; ok && i < v->n; i++) {
        char ch = v->u.s[i];
        ok = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
             (ch != '\0' && strchr("._-", ch) != NULL);
    }
    if (!ok) {
        return kafka_host->fail(err, TN_E_INVAL,
                                "the topic `%.*s` must be 1 to 249 letters, digits and `._-`",
                                v->type == TN_T_STR ? (int)(v->n < 80 ? v->n : 80) : 0,
                                v->type == TN_T_STR ? v->u.s : "");
    }
    memcpy(ret, v->u.s, v->n);
    ret[v->n] = '\0';
    return TN_OK;
}

static tn_rc headers_of(const tn_val *v, rd_kafka_headers_t **ret, tn_err *err)
{
    *ret = NULL;
    if (v->type == TN_T_NULL) {
        return TN_OK;
    }
    if (v->type != TN_T_MAP) {
        return kafka_host->fail(err, TN_E_INVAL, "headers must be a dict");
    }
    rd_kafka_headers_t *all = rd_kafka_headers_new(v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        const tn_pair *p = &v->u.map[i];
        struct message_buf b = {NULL, 0, 0, false};
        tn_rc rc = p->val.type == TN_T_NULL ? TN_OK : message_body(kafka_host, &b, &p->val, err);
        if (rc == TN_OK && p->key.type != TN_T_STR) {
            rc = kafka_host->fail(err, TN_E_INVAL, "names of headers must be texts");
        }
        if (rc == TN_OK && rd_kafka_header_add(all, p->key.u.s, (ssize_t)p->key.n,
                                               p->val.type == TN_T_NULL ? NULL
                                               : b.s != NULL            ? b.s
                                                                        : "",
                                               (ssize_t)b.n) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            rc = kafka_host->fail(err, TN_E_INVAL, "header %u cannot be used", i);
        }
        message_free(&b);
        if (rc != TN_OK) {
            rd_kafka_headers_destroy(all);
            return rc;
        }
    }
    *ret = all;
    return TN_OK;
}

static tn_rc int_of(const tn_val *v, const char *what, int64_t dflt, int64_t max, int64_t *ret,
                    tn_err *err)
{
    if (v->type != TN_T_NULL && (v->type != TN_T_INT || v->u.i < 0 || v->u.i > max)) {
        return kafka_host->fail(err, TN_E_INVAL, "%s must be a whole number from 0 on", what);
    }
    *ret = v->type == TN_T_INT ? v->u.i : dflt;
    return TN_OK;
}

/* ---- handing over and waiting ------------------------------------------------------------------------ */

struct item {
    const char *topic;
    const tn_val *message, *key, *headers;
    int64_t partition, timestamp;
};

static char *bytes_of(const struct message_buf *b, bool none, char *nothing)
{
    return none ? NULL : b->s != NULL ? b->s : nothing;
}

/* Gives message number i of this call to the library, which copies it. */
static tn_rc hand_over(struct kafka_call *k, const struct item *it, uint64_t i)
{
    struct kafka_conn *c = k->c;
    rd_kafka_headers_t *headers = NULL;
    tn_rc rc = TN_OK;
    c->body.n = c->key.n = 0;
    bool empty = it->message->type == TN_T_NULL; /* a tombstone */
    bool keyed = it->key != NULL && it->key->type != TN_T_NULL;
    if (!empty) {
        rc = message_body(kafka_host, &c->body, it->message, k->err);
    }
    if (rc == TN_OK && keyed) {
        rc = message_body(kafka_host, &c->key, it->key, k->err);
    }
    if (rc == TN_OK && it->headers != NULL) {
        rc = headers_of(it->headers, &headers, k->err);
    }
    if (rc != TN_OK) {
        return rc;
    }
    static char nothing[1];
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = it->topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = (int32_t)it->partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {bytes_of(&c->body, empty, nothing), c->body.n}},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {bytes_of(&c->key, !keyed, nothing), c->key.n}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = it->timestamp},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)(c->first + i)},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers}, /* the last: there may be none */
    };
    rd_kafka_error_t *failed = rd_kafka_produceva(
        c->rk, parts, sizeof parts / sizeof *parts - (headers == NULL ? 1 : 0));
    rd_kafka_resp_err_t code = rd_kafka_error_code(failed);
    if (failed != NULL) {
        rd_kafka_error_destroy(failed);
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (headers != NULL) {
            rd_kafka_headers_destroy(headers);
        }
        rc = kafka_failed(&c->trouble, code, "the message cannot be sent", k->err);
    }
    return rc;
}

/* A topic that is just being made has no leader at first, and the library looks again after two seconds. False: not yet. */
static bool has_leader(struct kafka_conn *c, const char *name, uint64_t end_ns)
{
    const struct rd_kafka_metadata *md = NULL;
    int left = net_left_ms(kafka_host, end_ns);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(c->rk, name, NULL);
    bool yes = topic != NULL &&
               rd_kafka_metadata(c->rk, 0, topic, &md,
                                 left >= 0 && left < SLICE_MS ? left : SLICE_MS) ==
                   RD_KAFKA_RESP_ERR_NO_ERROR &&
               md->topic_cnt == 1 && md->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; yes && i < md->topics[0].partition_cnt; i++) {
        yes = md->topics[0].partitions[i].err == RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    if (md != NULL) {
        rd_kafka_metadata_destroy(md);
    }
    if (topic != NULL) {
        rd_kafka_topic_destroy(topic);
    }
    return yes;
}

/* All answers, or the library gives the messages back. Once it was told that a password or certificate is refused, only what
 * other brokers have nearly confirmed is still waited for. */
static tn_rc wait_all(struct kafka_call *k, const char *topic, uint64_t n)
{
    struct kafka_conn *c = k->c;
    uint64_t end_ns = k->deadline_ns;
    bool found = false;
    tn_rc rc = TN_OK;
    while (c->done < n && rc == TN_OK) {
        rc = kafka_wait(c, SLICE_MS, end_ns, k->err);
        found = found || c->done != 0 || rc != TN_OK || has_leader(c, topic, end_ns);
        if (end_ns == k->deadline_ns && kafka_hopeless(c->trouble.code)) {
            uint64_t soon_ns = kafka_host->now_ns() + HOPELESS_NS;
            end_ns = end_ns == 0 || soon_ns < end_ns ? soon_ns : end_ns;
        }
    }
    if (c->done < n) {
        rd_kafka_purge(c->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        for (int i = 0; c->done < n && i < 20; i++) {
            rd_kafka_poll(c->rk, 50);
        }
        k->err->flags |= TN_ERR_CONN_BROKEN; /* after a purge nobody knows what the broker has */
    }
    return rc == TN_E_TIMEOUT ? TN_OK : rc; /* the answers say it better */
}

static tn_rc judge(struct kafka_call *k, uint64_t n)
{
    struct kafka_conn *c = k->c;
    const struct kafka_answer *bad = NULL;
    char what[160];
    uint64_t good = 0, maybe = 0;
    for (uint64_t i = 0; i < n; i++) {
        const struct kafka_answer *a = &c->answer[i];
        bool ok = a->done && a->err == RD_KAFKA_RESP_ERR_NO_ERROR;
        good += ok;
        maybe += !a->done || a->maybe;
        bad = ok || bad != NULL ? bad : a;
    }
    if (bad == NULL) {
        return TN_OK;
    }
    if (n == 1) {
        snprintf(what, sizeof what, "the message was not confirmed%s",
                 maybe != 0 ? " (it may have been written)" : "");
    } else {
        snprintf(what, sizeof what,
                 "of %llu messages %llu were confirmed, %llu more may have been written",
                 (unsigned long long)n, (unsigned long long)good, (unsigned long long)maybe);
    }
    uint32_t flags = k->err->flags & TN_ERR_CONN_BROKEN;
    tn_rc rc = kafka_failed(&c->trouble, bad->done ? bad->err : RD_KAFKA_RESP_ERR__TIMED_OUT, what,
                            k->err);
    k->err->flags |= flags;
    return rc;
}

/* Numbers for n messages; 0: no memory. */
static bool begin(struct kafka_conn *c, uint64_t n)
{
    c->answer = calloc(n, sizeof *c->answer);
    c->n = c->answer != NULL ? n : 0;
    c->done = 0;
    c->trouble = (struct kafka_trouble){.code = RD_KAFKA_RESP_ERR_NO_ERROR};
    return c->answer != NULL;
}

static void end(struct kafka_conn *c)
{
    free(c->answer);
    c->answer = NULL;
    c->first += c->n;
    c->n = 0;
}

/* ---- methods ----------------------------------------------------------------------------------------- */

/* publish(topic, message, key, headers, partition, timestamp): {partition, offset} */
tn_rc kafka_publish(struct kafka_call *k)
{
    struct kafka_conn *c = k->c;
    char topic[256];
    struct item it = {.topic = topic, .message = &k->a[1], .key = &k->a[2], .headers = &k->a[3]};
    tn_rc rc = topic_of(&k->a[0], topic, k->err);
    rc = rc == TN_OK ? int_of(&k->a[4], "partition", RD_KAFKA_PARTITION_UA, INT32_MAX,
                              &it.partition, k->err)
                     : rc;
    rc = rc == TN_OK
             ? int_of(&k->a[5], "timestamp (milliseconds)", 0, INT64_MAX / 2, &it.timestamp, k->err)
             : rc;
    if (rc != TN_OK) {
        return rc;
    }
    if (!begin(c, 1)) {
        return kafka_host->fail(k->err, TN_E_NOMEM, "no memory for the message");
    }
    rc = hand_over(k, &it, 0);
    rc = rc == TN_OK ? wait_all(k, topic, 1) : rc;
    rc = rc == TN_OK ? judge(k, 1) : rc;
    if (rc == TN_OK) {
        tape_map(k->out);
        tape_key(k->out, "partition", 9);
        tape_int(k->out, c->answer[0].partition);
        tape_key(k->out, "offset", 6);
        if (c->answer[0].offset >= 0) {
            tape_int(k->out, c->answer[0].offset);
        } else { /* acks 0: nobody says */
            tape_null(k->out);
        }
        tape_end(k->out);
    }
    end(c);
    return rc;
}

/* publish_many(topic, messages, key): how many */
tn_rc kafka_publish_many(struct kafka_call *k)
{
    struct kafka_conn *c = k->c;
    char topic[256];
    const tn_val *list = &k->a[1];
    tn_rc rc = topic_of(&k->a[0], topic, k->err);
    if (rc == TN_OK && (list->type != TN_T_LIST || list->n == 0 || list->n > 100000)) {
        rc = kafka_host->fail(k->err, TN_E_INVAL, "a list of 1 to 100000 messages is needed");
    }
    if (rc != TN_OK) {
        return rc;
    }
    if (!begin(c, list->n)) {
        return kafka_host->fail(k->err, TN_E_NOMEM, "no memory for the messages");
    }
    uint64_t n = 0;
    tn_err own = TN_ERR_INIT;
    for (; rc == TN_OK && n < list->n; n++) {
        struct item it = {.topic = topic,
                          .message = &list->u.list[n],
                          .key = &k->a[2],
                          .partition = RD_KAFKA_PARTITION_UA};
        rc = hand_over(k, &it, n);
        if (rc != TN_OK) { /* those before it are on their way */
            break;
        }
    }
    own = *k->err;
    tn_rc waited = wait_all(k, topic, n);
    if (rc == TN_OK) {
        rc = waited != TN_OK ? waited : judge(k, n);
    } else {
        uint32_t flags = k->err->flags & TN_ERR_CONN_BROKEN;
        kafka_host->fail(k->err, rc, "message %llu, after %llu that were sent: %.300s",
                         (unsigned long long)n, (unsigned long long)n, own.msg);
        k->err->flags |= flags;
    }
    if (rc == TN_OK) {
        tape_int(k->out, (int64_t)n);
    }
    end(c);
    return rc;
}

/* topics(): {topic: partitions} */
tn_rc kafka_topics(struct kafka_call *k)
{
    const struct rd_kafka_metadata *md = NULL;
    tn_rc rc = kafka_metadata(k->c, true, k->deadline_ns, &md, k->err);
    if (rc != TN_OK) {
        return rc;
    }
    tape_map(k->out);
    for (int i = 0; i < md->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *t = &md->topics[i];
        tape_key(k->out, t->topic, strlen(t->topic));
        tape_int(k->out, t->partition_cnt);
    }
    tape_end(k->out);
    rd_kafka_metadata_destroy(md);
    return TN_OK;
}

tn_rc kafka_check_method(struct kafka_call *k)
{
    return kafka_check(k->c->inst, k->c, k->deadline_ns, k->err);
}
