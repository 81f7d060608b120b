/* SPDX-License-Identifier: Apache-2.0 */
/* One nsqd: joining, commands, frames. Reading never waits for the rest of a frame, so that a slow node holds up nobody. */
#include "consumer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_NS   2000000000ull
#define WRITE_NS     1000000000ull
#define RECORD_NS    200000000ull /* for the rest of a TLS record */
#define HEARTBEAT_MS 5000
#define HEAD         8                        /* size and type */
#define BEFORE_BODY  (HEAD + 8 + 2 + ID_SIZE) /* time, attempts, id */
#define TURN_READS   64                       /* before the others get their turn */

/* ---- life -------------------------------------------------------------------------------------------- */

void link_end(struct link *l, bool polite)
{
    if (polite) {
        link_flush(l);
    }
    nsq_leave(&l->c, polite && !l->gone);
    message_free(&l->c.in);
    message_free(&l->c.out);
    message_free(&l->in);
    pthread_mutex_destroy(&l->c.fd_lock);
    free(l);
}

tn_rc link_make(struct consumer *c, const struct nsq_node *node, tn_err *err)
{
    char text[2 * NSQ_NAME_MAX + 8];
    struct link *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return nsq_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    l->c.inst = &c->nsq;
    l->c.fd = -1;
    l->c.heartbeat_ms = HEARTBEAT_MS;
    l->c.msg_timeout_ms = (uint32_t)c->conf->msg_timeout.ms;
    l->c.about = c->about;
    l->node = *node;
    l->number = ++c->links_made;
    l->rdy = -1;
    pthread_mutex_init(&l->c.fd_lock, NULL);
    uint64_t deadline = nsq_host->now_ns() + CONNECT_NS;
    tn_rc rc = nsq_join(&l->c, node, deadline, err);
    if (rc == TN_OK) {
        l->c.out.n = 0;
        snprintf(text, sizeof text, "SUB %s %s\n", c->topic, c->channel);
        message_puts(&l->c.out, text);
        rc = nsq_command(&l->c, deadline, err);
        l->c.out.n = 0;
    }
    if (rc != TN_OK) {
        link_end(l, false);
        return rc;
    }
    l->heard_ns = nsq_host->now_ns();
    c->link[c->nlinks++] = l;
    return TN_OK;
}

struct link *link_by(struct consumer *c, uint64_t number)
{
    for (uint32_t i = 0; i < c->nlinks; i++) {
        if (c->link[i]->number == number) {
            return c->link[i]->gone ? NULL : c->link[i];
        }
    }
    return NULL;
}

/* ---- commands ---------------------------------------------------------------------------------------- */

void link_say(struct link *l, const char *word, const char id[ID_SIZE], int ms)
{
    char text[64];
    int n = ms < 0 ? snprintf(text, sizeof text, "%s %.16s\n", word, id)
                   : snprintf(text, sizeof text, "%s %.16s %d\n", word, id, ms);
    message_put(&l->c.out, text, (size_t)n);
}

void link_flush(struct link *l)
{
    tn_err own = TN_ERR_INIT;
    if (l->c.out.n == 0 && !l->c.out.failed) {
        return;
    }
    if (l->gone || l->c.out.failed ||
        stream_write(&l->c.stream, l->c.out.s, l->c.out.n, nsq_host->now_ns() + WRITE_NS, &own) !=
            TN_OK) {
        l->gone = true;
    }
    l->c.out.failed = false;
    l->c.out.n = 0;
}

void links_ready(struct consumer *c, bool on)
{
    char text[32];
    int64_t each = c->nlinks != 0 ? c->conf->max_in_flight / c->nlinks : 0;
    each = !on ? 0 : each > 0 ? each : 1;
    for (uint32_t i = 0; i < c->nlinks; i++) {
        struct link *l = c->link[i];
        int64_t most = l->c.max_rdy_count;
        int64_t rdy = most > 0 && each > most ? most : each;
        if (l->rdy != rdy) {
            l->rdy = rdy;
            snprintf(text, sizeof text, "RDY %lld\n", (long long)rdy);
            message_puts(&l->c.out, text);
        }
    }
}

/* ---- frames ------------------------------------------------------------------------------------------ */

/* An error about a message that nsqd has given to somebody else meanwhile; the others end the connection. */
static bool harmless(const struct nsq_frame *f)
{
    static const char *const words[] = {"E_FIN_FAILED", "E_REQ_FAILED", "E_TOUCH_FAILED"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        if (f->n >= n && memcmp(f->s, words[i], n) == 0) {
            return true;
        }
    }
    return false;
}

static tn_rc take_frame(struct consumer *c, struct link *l, const struct nsq_frame *f, tn_err *err)
{
    if (f->type == NSQ_RESPONSE) {
        if (f->n == 11 && memcmp(f->s, "_heartbeat_", 11) == 0) {
            message_puts(&l->c.out, "NOP\n");
        }
        return TN_OK;
    }
    if (f->type == NSQ_ERROR) {
        return harmless(f) ? TN_OK : nsq_refused(f, "", err);
    }
    if (f->n < BEFORE_BODY - HEAD) {
        return nsq_host->fail(err, TN_E_UNAVAIL, "nsqd sent a message without an id");
    }
    const char *id = f->s + 10, *body = f->s + BEFORE_BODY - HEAD;
    return flow_deliver(c, l, id, (tn_str){body, f->n - (BEFORE_BODY - HEAD)});
}

/* A message beyond the bound is never kept: its id is, the rest is passed over. */
static tn_rc begin_large(struct consumer *c, struct link *l, const char *p, size_t whole,
                         size_t have)
{
    tn_rc rc = flow_deliver(c, l, p + HEAD + 10, (tn_str){NULL, whole - BEFORE_BODY});
    l->skip = whole - have;
    return rc;
}

/* Everything whole in l->in. */
static tn_rc take_all(struct consumer *c, struct link *l, tn_err *err)
{
    size_t at = 0;
    tn_rc rc = TN_OK;
    while (rc == TN_OK && l->in.n - at >= HEAD) {
        const char *p = l->in.s + at;
        size_t left = l->in.n - at;
        uint32_t size = 0, type = 0;
        rc = nsq_frame_head(p, &size, &type, err);
        size_t whole = (size_t)size + 4;
        if (rc != TN_OK) {
            break;
        }
        if (type == NSQ_MESSAGE && whole > BEFORE_BODY + (size_t)TN_DELIVER_MAX) {
            if (left < BEFORE_BODY) {
                break;
            }
            size_t have = left < whole ? left : whole;
            rc = begin_large(c, l, p, whole, have);
            at += have;
        } else if (type != NSQ_MESSAGE && whole > 65536) {
            rc = nsq_host->fail(err, TN_E_UNAVAIL, "nsqd announces an answer of %zu bytes", whole);
        } else if (left >= whole) {
            const struct nsq_frame f = {type, p + HEAD, whole - HEAD};
            rc = take_frame(c, l, &f, err);
            at += whole;
        } else {
            break;
        }
    }
    if (at > 0) {
        memmove(l->in.s, l->in.s + at, l->in.n - at);
        l->in.n -= at;
    }
    return rc;
}

tn_rc link_take(struct consumer *c, struct link *l, tn_err *err)
{
    char piece[16384]; /* a whole TLS record: nothing stays where poll() does not see it */
    for (int i = 0; i < TURN_READS; i++) {
        struct pollfd fd = {.fd = l->c.stream.fd, .events = POLLIN};
        size_t n = 0;
        tn_err own = TN_ERR_INIT;
        if (poll(&fd, 1, 0) != 1) {
            return TN_OK;
        }
        tn_rc rc = stream_read(&l->c.stream, piece, sizeof piece, nsq_host->now_ns() + RECORD_NS,
                               &n, &own);
        if (rc == TN_E_TIMEOUT) {
            return TN_OK;
        }
        if (rc != TN_OK) {
            *err = own;
            return rc;
        }
        l->heard_ns = nsq_host->now_ns();
        size_t passed = l->skip < n ? l->skip : n;
        l->skip -= passed;
        message_put(&l->in, piece + passed, n - passed);
        if (l->in.failed) {
            return nsq_host->fail(err, TN_E_NOMEM, "no memory for a message");
        }
        rc = take_all(c, l, err);
        if (rc != TN_OK) {
            return rc;
        }
    }
    return TN_OK;
}
