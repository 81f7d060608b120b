/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Kafka connector share. */
#pragma once
#include "common/message.h"
#include "common/net.h"
#include "common/tape.h"

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <tenon/tenon.h>

struct kafka_conf {
    const char *servers, *group_id, *kafka_sub_offset, *security_protocol, *sasl_mechanisms, *user;
    tn_secret password, tls_key;
    const char *tls, *tls_ca, *tls_cert, *application, *compression, *acks;
    int64_t timeout;
    tn_bytes max_message;
    tn_dur session_timeout;
};
struct kafka { /* an instance */
    const struct kafka_conf *conf;
};

/* ---- setup.c: for producers and for the consumers of plugins/trigger_kafka ---- */
struct kafka_trouble { /* what the library told last about its brokers */
    rd_kafka_resp_err_t code;
    char why[256];
};
void kafka_note(struct kafka_trouble *t, int code, const char *reason);
/* Signing in and TLS: trying again would not help. */
bool kafka_hopeless(rd_kafka_resp_err_t code);
/* An error of the library by its class; what: what could not be done. */
tn_rc kafka_failed(const struct kafka_trouble *t, rd_kafka_resp_err_t code, const char *what,
                   tn_err *err);
struct kafka_setup {
    rd_kafka_conf_t *conf;
    tn_rc rc; /* the first failure, told in err */
    tn_err *err;
};
void kafka_set(struct kafka_setup *s, const char *name, const char *value);
void kafka_set_int(struct kafka_setup *s, const char *name, long long value);
/* Brokers, names, times, security. */
void kafka_set_common(struct kafka_setup *s, const struct kafka_conf *conf);
/* Uses s->conf up in every case. */
tn_rc kafka_new(struct kafka_setup *s, rd_kafka_type_t type, rd_kafka_t **ret);
/* TN_OK when a port of one of the servers is open; else why not, with the step. */
tn_rc kafka_reach(const struct kafka_conf *conf, uint64_t deadline_ns, tn_err *err);

/* What the broker said about a message. Messages of a call have consecutive numbers, which are what the library gets as
 * their opaque pointer: a late answer then finds no message, instead of memory that is somebody else's. */
struct kafka_answer {
    bool done;
    rd_kafka_resp_err_t err;
    bool maybe; /* it may have been written all the same */
    int32_t partition;
    int64_t offset;
};
struct kafka_conn {
    struct kafka *inst;
    rd_kafka_t *rk;
    uint64_t first, n, done;     /* numbers of the messages that are waited for */
    struct kafka_answer *answer; /* n of them */
    struct kafka_trouble trouble;
    struct message_buf key, body;
    atomic_bool working, canceled; /* an invoke() runs; somebody wants it to end */
};
extern const tn_host *kafka_host;
extern const tn_field kafka_fields[]; /* fields.c */

/* ---- connect.c ---- */
tn_rc kafka_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err);
tn_rc kafka_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err);
void kafka_close(void *inst, void *conn, uint32_t why);
/* Asks a broker, for one topic (NULL: none) or all, until it answers or the deadline passes. */
tn_rc kafka_metadata(struct kafka_conn *c, bool all, uint64_t deadline_ns,
                     const struct rd_kafka_metadata **ret, tn_err *err);
/* Lets the library work and tell, for up to ms. TN_E_CANCELED, or TN_E_TIMEOUT (err is not filled). */
tn_rc kafka_wait(struct kafka_conn *c, int ms, uint64_t deadline_ns, tn_err *err);
/* ---- publish.c ---- */
struct kafka_call {
    struct kafka_conn *c;
    const tn_val *a;
    uint64_t deadline_ns;
    struct tape *out;
    tn_err *err;
};
typedef tn_rc kafka_method(struct kafka_call *k);
kafka_method kafka_publish, kafka_publish_many, kafka_topics, kafka_check_method;
void kafka_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque);
