/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of Redis channels: one connection for a subscription, PSUBSCRIBE, and what comes is delivered.
 * Redis keeps nothing for who is away and knows no acknowledgement. */
#include "connectors/redis/redis.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define CONNECT_NS 5000000000ull
#define MOMENT_NS  200000000ull /* for the rest of a TLS record */
#define QUIET_MS   10000        /* without a message: is the server still there? */
#define ANSWER_MS  5000

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    rd_host = host;
    return TN_OK;
}

/* ---- subscribing ------------------------------------------------------------------------------------- */

static tn_rc send_words(struct rd_conn *c, const char *word, tn_str arg, tn_err *err)
{
    struct rd_cmd cmd;
    rd_cmd_init(&cmd, word);
    if (arg.s != NULL) {
        rd_arg_str(&cmd, arg.s, arg.n);
    }
    tn_rc rc = rd_put(c, &cmd, err);
    rd_cmd_finish(&cmd);
    return rc == TN_OK ? rd_send(c, rd_host->now_ns() + CONNECT_NS, err) : rc;
}

static tn_rc subscribe(struct rd_conn *c, tn_str topic, tn_err *err)
{
    struct rd_node *node = NULL;
    tn_rc rc = send_words(c, "PSUBSCRIBE", topic, err);
    rc = rc == TN_OK ? rd_read(c, rd_host->now_ns() + CONNECT_NS, &node, err) : rc;
    if (rc == TN_OK && node->type == RD_ERROR) {
        rc = rd_refused(c, node, err);
    } else if (rc == TN_OK && (node->type != RD_LIST || node->n != 3)) {
        rc = rd_host->fail(err, TN_E_UNAVAIL, "PSUBSCRIBE: the answer is not that of Redis");
    }
    rd_free(node);
    return rc;
}

/* ---- consuming --------------------------------------------------------------------------------------- */

static tn_str text_of(const struct rd_node *node)
{
    return node != NULL && (node->type == RD_TEXT || node->type == RD_STATUS)
               ? (tn_str){node->s, node->n}
               : (tn_str){"", 0};
}

/* [pmessage, pattern, channel, message]; anything else is an answer to a PING. A full buffer drops the newest:
 * a server that is not read from would close the connection and drop all. */
static tn_rc take(struct rd_conn *c, tn_sub *sub, const struct rd_node *node, tn_err *err)
{
    if (node->type == RD_ERROR) {
        return rd_refused(c, node, err);
    }
    if (node->type != RD_LIST || node->n != 4 || node->u.items[0] == NULL ||
        !rd_is(node->u.items[0], RD_TEXT, "pmessage")) {
        return TN_OK;
    }
    tn_rc rc = rd_host->subs->deliver(rd_host->ctx, sub, text_of(node->u.items[2]),
                                      text_of(node->u.items[3]), 0, TN_DELIVER_DROP, err);
    return rc == TN_E_INVAL ? TN_OK : rc; /* too large: counted */
}

static tn_rc take_all(struct rd_conn *c, tn_sub *sub, tn_err *err)
{
    struct rd_node *node;
    tn_rc rc;
    while ((rc = rd_next(c, &node, err)) == TN_OK && node != NULL) {
        rc = take(c, sub, node, err);
        rd_free(node);
        if (rc != TN_OK) {
            break;
        }
    }
    return rc;
}

/* Until the subscription is to end (TN_OK) or the connection fails. */
static tn_rc attend(struct rd_conn *c, tn_sub *sub, int stop_fd, tn_err *err)
{
    bool asked = false;
    for (;;) {
        struct pollfd fds[] = {{.fd = stop_fd, .events = POLLIN},
                               {.fd = c->stream.fd, .events = POLLIN}};
        int n = poll(fds, 2, asked ? ANSWER_MS : QUIET_MS);
        tn_rc rc = TN_OK;
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (fds[0].revents != 0) {
            return TN_OK;
        }
        if (n == 0 && asked) {
            return rd_host->fail(err, TN_E_UNAVAIL, "the server did not answer a PING for %d s",
                                 ANSWER_MS / 1000);
        }
        if (n == 0) {
            rc = send_words(c, "PING", (tn_str){NULL, 0}, err);
            asked = true;
        } else {
            tn_err moment = TN_ERR_INIT;
            rc = rd_fill(c, rd_host->now_ns() + MOMENT_NS, &moment);
            if (rc != TN_OK && rc != TN_E_TIMEOUT) {
                *err = moment;
                return rc;
            }
            asked = false;
            rc = take_all(c, sub, err);
        }
        if (rc != TN_OK) {
            return rc;
        }
    }
}

static tn_rc consume(void *inst, tn_sub *sub, const tn_sub_info *info, tn_err *err)
{
    struct rd rd = {.conf = info->conf};
    void *conn = NULL;
    (void)inst;
    pthread_mutex_init(&rd.lock, NULL);
    tn_rc rc = rd_open(&rd, rd_host->now_ns() + CONNECT_NS, &conn, err);
    if (rc == TN_OK) {
        rc = subscribe(conn, info->topic, err);
        if (rc == TN_OK) {
            rd_host->subs->consuming(rd_host->ctx, sub);
            rc = take_all(conn, sub, err); /* what came with the answer */
            rc = rc == TN_OK ? attend(conn, sub, info->stop_fd, err) : rc;
        }
        rd_close(&rd, conn, rc == TN_OK ? TN_CLOSE_NORMAL : TN_CLOSE_BROKEN);
    }
    stream_tls_finish(&rd.tls);
    pthread_mutex_destroy(&rd.lock);
    return rc;
}

static const tn_trigger_ops ops = {
    .size = sizeof ops,
    .sub_config = rd_fields,
    .sub_conf_size = sizeof(struct rd_conf),
    .consume = consume,
};

TN_PLUGIN(.kind = TN_KIND_TRIGGER, .flags = TN_P_THREAD_SAFE, .name = "redis", .version = "1.0.0",
          .summary = "Messages of Redis channels call functions", .caps = TN_CAP_SUBSCRIBE,
          .load = on_load, .ops = &ops)
