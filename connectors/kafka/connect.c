/* SPDX-License-Identifier: Apache-2.0 */
/* Producers: a handle of librdkafka with its threads, made in the process that uses it and ended within a second. */
#include "kafka.h"

#include <stdio.h>
#include <stdlib.h>

#define ANSWER_MAX                                                                                 \
    (16 << 20) /* metadata and confirmations; a topic has about 100 bytes for each partition */

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    (void)rk;
    kafka_note(&((struct kafka_conn *)opaque)->trouble, code, reason);
}

static tn_rc make(struct kafka_conn *c, tn_err *err)
{
    const struct kafka_conf *conf = c->inst->conf;
    struct kafka_setup s = {rd_kafka_conf_new(), TN_OK, err};
    kafka_set_common(&s, conf);
    kafka_set(&s, "acks", conf->acks);
    kafka_set(&s, "compression.type", conf->compression);
    kafka_set(&s, "enable.idempotence", strcmp(conf->acks, "all") == 0 ? "true" : "false");
    kafka_set(&s, "linger.ms", "0"); /* somebody waits for each message */
    kafka_set(&s, "queue.buffering.max.kbytes", "262144");
    kafka_set_int(&s, "receive.message.max.bytes", ANSWER_MAX);
    kafka_set_int(&s, "message.max.bytes", (long long)conf->max_message.n);
    kafka_set_int(&s, "message.timeout.ms", (long long)conf->timeout * 1000);
    rd_kafka_conf_set_opaque(s.conf, c);
    rd_kafka_conf_set_dr_msg_cb(s.conf, kafka_delivered);
    rd_kafka_conf_set_error_cb(s.conf, on_error);
    return kafka_new(&s, RD_KAFKA_PRODUCER, &c->rk);
}

tn_rc kafka_wait(struct kafka_conn *c, int ms, uint64_t deadline_ns, tn_err *err)
{
    int left = net_left_ms(kafka_host, deadline_ns);
    rd_kafka_poll(c->rk, left >= 0 && left < ms ? left : ms);
    if (atomic_load(&c->canceled)) {
        return kafka_host->fail(err, TN_E_CANCELED, "the operation was told to stop");
    }
    return left == 0 ? TN_E_TIMEOUT : TN_OK;
}

tn_rc kafka_metadata(struct kafka_conn *c, bool all, uint64_t deadline_ns,
                     const struct rd_kafka_metadata **ret, tn_err *err)
{
    for (;;) {
        int left = net_left_ms(kafka_host, deadline_ns);
        int slice = left >= 0 && left < 300 ? left : 300;
        rd_kafka_resp_err_t code = slice == 0 ? RD_KAFKA_RESP_ERR__TIMED_OUT
                                              : rd_kafka_metadata(c->rk, all, NULL, ret, slice);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            return TN_OK;
        }
        tn_rc rc = kafka_wait(c, 0, deadline_ns, err);
        if (rc == TN_E_CANCELED) {
            return rc;
        }
        bool passing = code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT;
        if (rc == TN_E_TIMEOUT || kafka_hopeless(c->trouble.code) || !passing) {
            return kafka_failed(&c->trouble, passing ? RD_KAFKA_RESP_ERR__TIMED_OUT : code,
                                "no broker can be asked", err);
        }
    }
}

/* ---- the contract's functions ------------------------------------------------------------------------ */

void kafka_close(void *inst, void *conn, uint32_t why)
{
    struct kafka_conn *c = conn;
    (void)inst;
    if (c->rk != NULL) {
        if (why == TN_CLOSE_NORMAL) {
            rd_kafka_flush(c->rk, 1000);
        }
        rd_kafka_purge(c->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(c->rk, 100);
        rd_kafka_destroy(c->rk);
    }
    message_free(&c->key);
    message_free(&c->body);
    free(c);
}

tn_rc kafka_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct kafka *kafka = inst;
    const struct rd_kafka_metadata *md = NULL;
    tn_err own = TN_ERR_INIT;
    struct kafka_conn *c = NULL;
    if (deadline_ns != 0 && kafka_host->now_ns() >= deadline_ns) {
        return kafka_host->fail(err, TN_E_TIMEOUT, "no time left to connect");
    }
    tn_rc rc = kafka_reach(kafka->conf, deadline_ns, &own);
    if (rc == TN_OK && (c = calloc(1, sizeof *c)) == NULL) {
        rc = kafka_host->fail(&own, TN_E_NOMEM, "no memory for a connection");
    }
    if (rc == TN_OK) {
        c->inst = kafka;
        c->first = 1;
        rc = make(c, &own);
    }
    rc = rc == TN_OK ? kafka_metadata(c, false, deadline_ns, &md, &own) : rc;
    if (rc != TN_OK) {
        if (c != NULL) {
            kafka_close(inst, c, TN_CLOSE_BROKEN);
        }
        if (err != NULL) {
            *err = own;
        }
        return rc;
    }
    rd_kafka_metadata_destroy(md);
    c->trouble = (struct kafka_trouble){.code = RD_KAFKA_RESP_ERR_NO_ERROR};
    *ret_conn = c;
    return TN_OK;
}

tn_rc kafka_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    const struct rd_kafka_metadata *md = NULL;
    struct kafka_conn *c = conn;
    (void)inst;
    c->trouble = (struct kafka_trouble){.code = RD_KAFKA_RESP_ERR_NO_ERROR};
    tn_rc rc = kafka_metadata(c, false, deadline_ns, &md, err);
    if (rc == TN_OK) {
        rd_kafka_metadata_destroy(md);
    }
    return rc;
}
