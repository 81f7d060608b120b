/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka connector: the table of methods, and the contract's functions. */
#include "kafka.h"
#include "common/args.h"

#include <stdlib.h>

const tn_host *kafka_host; /* set once by load() */

#define ARGS_MAX 8
/* name, parameters, what it does, function */
#define METHODS(X)                                                                                 \
    X(publish,                                                                                     \
      "topic:str, message:any, key:any=None, headers:any=None, partition:any=None, "               \
      "timestamp:any=None",                                                                        \
      "Publishes and waits until the brokers have confirmed: {partition, offset}. Texts and "      \
      "bytes as they are, None as a tombstone, anything else as JSON.",                            \
      kafka_publish)                                                                               \
    X(publish_many, "topic:str, messages:list, key:any=None",                                      \
      "Publishes the messages of a list and waits for all: how many.", kafka_publish_many)         \
    X(topics, "", "{topic: partitions}.", kafka_topics)                                            \
    X(check, "", "Asks a broker something cheap.", kafka_check_method)

enum {
    NONE,
#define AS_ID(name, args, doc, run) M_##name,
    METHODS(AS_ID)
#undef AS_ID
        COUNT
};
static const tn_method methods[] = {
#define AS_ROW(name, args, doc, run) {#name, args, doc, M_##name, 0},
    METHODS(AS_ROW)
#undef AS_ROW
        {0}};
static kafka_method *const verbs[] = {
#define AS_VERB(name, args, doc, run) [M_##name] = run,
    METHODS(AS_VERB)
#undef AS_VERB
};

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    kafka_host = host;
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    (void)err;
    ((struct kafka *)inst)->conf = conf;
    return TN_OK;
}

static uint64_t sooner(uint64_t deadline_ns, int64_t seconds)
{
    uint64_t at = kafka_host->now_ns() + (uint64_t)seconds * 1000000000u;
    return deadline_ns != 0 && deadline_ns < at ? deadline_ns : at;
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    struct kafka *kafka = inst;
    struct kafka_conn *c = conn;
    tn_err own = TN_ERR_INIT;
    tn_val all[ARGS_MAX];
    if (method == NONE || method >= COUNT) {
        return kafka_host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
    if (deadline_ns != 0 && kafka_host->now_ns() >= deadline_ns) {
        return kafka_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    struct tape *out = tape_new(kafka_host, (size_t)64 << 20, err);
    if (out == NULL) {
        return TN_E_NOMEM;
    }
    struct kafka_call k = {.c = c,
                           .a = all,
                           .deadline_ns = sooner(deadline_ns, kafka->conf->timeout),
                           .out = out,
                           .err = &own};
    tn_rc rc = args_complete(kafka_host, &methods[method - 1], args, all, ARGS_MAX, &own);
    atomic_store(&c->working, true);
    rc = rc == TN_OK ? verbs[method](&k) : rc;
    atomic_store(&c->working, false);
    rc = rc == TN_OK ? tape_judge(out, kafka_host, &own) : rc;
    if (rc != TN_OK) {
        if (rd_kafka_fatal_error(c->rk, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            own.flags |=
                TN_ERR_CONN_BROKEN; /* an idempotent producer that lost its thread never publishes again */
        }
        tape_free(out);
        if (err != NULL) {
            *err = own;
        }
        return rc;
    }
    *ret = (tn_result){out, method, 0};
    return TN_OK;
}

/* Publishing leaves nothing behind. */
static tn_rc on_reset(void *inst, void *conn, tn_err *err)
{
    (void)inst, (void)err;
    atomic_store(&((struct kafka_conn *)conn)->canceled, false);
    return TN_OK;
}

/* What waits looks ten times a second. */
static void on_cancel(void *inst, void *conn)
{
    struct kafka_conn *c = conn;
    (void)inst;
    if (atomic_load(&c->working)) {
        atomic_store(&c->canceled, true);
    }
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = methods,
    .open = kafka_open,
    .check = kafka_check,
    .reset = on_reset,
    .close = kafka_close,
    .invoke = on_invoke,
    .emit = tape_emit,
    .result_free = tape_result_free,
    .cancel = on_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "kafka", .version = "1.0.0",
          .summary = "Kafka 0.11 and later: publishing", .caps = TN_CAP_CANCEL,
          .config = kafka_fields, .conf_size = sizeof(struct kafka_conf),
          .inst_size = sizeof(struct kafka), .load = on_load, .attach = on_attach, .ops = &ops)
