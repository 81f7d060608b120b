/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of MQTT topics: one connection for a subscription, acknowledged (QoS 1 and 2) when the platform has
 * committed them, so that a server sends again what a crash took. */
#include "common/utf8.h"
#include "connectors/mqtt/mqtt.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNECT_NS 5000000000ull
#define MOMENT_NS  200000000ull /* for the rest of a TLS record */
#define ANSWER_NS  10000000000ull
#define PART_NS    1000000000ull /* at the end, for what is being committed */
#define NS_PER_SEC 1000000000ull
#define ONLY_NEW   0x10 /* of retained messages: none when the session has the subscription already */

struct session {
    struct mq_link link;
    tn_sub *sub;
    const tn_sub_info *info;
    const struct mq_conf *conf;
    uint32_t outstanding; /* delivered, not yet acknowledged */
    bool full;            /* the message in the buffer has no room: nothing more is read */
    bool asked;           /* a PINGREQ waits for its answer */
    uint64_t sent_ns, heard_ns, asked_ns, since_ns;
    unsigned keepalive;      /* s */
    struct mq_packet packet; /* while full: the message that waits */
    struct mq_said said;
};

static tn_rc on_load(const tn_host *host, tn_err *err)
{
    (void)err;
    mq_host = host;
    return TN_OK;
}

/* ---- subscribing ------------------------------------------------------------------------------------- */

/* One id for a subscription, for ever, because the server keeps its session by it; with multiSubClient each hub has
 * a session of its own. */
static void client_id(const struct session *s, char *ret, size_t cap)
{
    const char *given = s->conf->client_id;
    char host[32] = "";
    if ((s->info->flags & TN_SUB_MULTI) != 0) {
        host[0] = '-';
        gethostname(host + 1, sizeof host - 2);
    }
    snprintf(ret, cap, "%s-%.*s%s", given != NULL && given[0] != '\0' ? given : "tenon",
             (int)s->info->uid.n, s->info->uid.s, host);
}

static bool begins(tn_str s, const char *word)
{
    size_t n = strlen(word);
    return s.n >= n && memcmp(s.s, word, n) == 0;
}

/* 4.7 and 4.8.2: a server ends the connection for most of what is wrong and takes the rest for the name of a topic. */
static tn_rc filter_check(tn_str given, tn_err *err)
{
    tn_str t = given;
    const char *what = NULL;
    if (begins(t, "$share/") || begins(t, "$queue/")) {
        bool share = t.s[1] == 's';
        const char *group = t.s + 7, *end = t.s + t.n;
        const char *slash = share ? memchr(group, '/', (size_t)(end - group)) : group - 1;
        if (slash == NULL || slash == group || slash + 1 == end ||
            (share && (memchr(group, '+', (size_t)(slash - group)) != NULL ||
                       memchr(group, '#', (size_t)(slash - group)) != NULL))) {
            what = "a shared subscription is $share/GROUP/filter or $queue/filter";
        } else {
            t = (tn_str){slash + 1, (size_t)(end - slash - 1)};
        }
    }
    for (size_t i = 0; what == NULL && i < t.n; i++) {
        bool alone = (i == 0 || t.s[i - 1] == '/') && (i + 1 == t.n || t.s[i + 1] == '/');
        if (t.s[i] == '+' && !alone) {
            what = "+ stands for a whole level: a/+/b";
        } else if (t.s[i] == '#' && (!alone || i + 1 != t.n)) {
            what = "# stands for all levels at the end: a/#";
        }
    }
    if (t.n == 0 || given.n > 65000 || !utf8_valid(given.s, given.n) ||
        memchr(given.s, '\0', given.n) != NULL) {
        what = "it is text of 1 to 65,000 bytes without a zero byte";
    }
    return what == NULL
               ? TN_OK
               : mq_host->fail(err, TN_E_CONFIG, "the topic filter is not valid: %s", what);
}

/* "$queue/t", which some servers know, is the shared subscription "$share/queue/t", which all know. */
static void put_filter(struct mq_buf *b, tn_str topic)
{
    static const char queue[] = "$queue/", share[] = "$share/queue/";
    if (topic.n > sizeof queue - 1 && memcmp(topic.s, queue, sizeof queue - 1) == 0) {
        size_t rest = topic.n - (sizeof queue - 1);
        mq_add2(b, (unsigned)(sizeof share - 1 + rest));
        mq_add(b, share, sizeof share - 1);
        mq_add(b, topic.s + sizeof queue - 1, rest);
    } else {
        mq_add_text(b, topic);
    }
}

static tn_rc take_packet(struct session *s, tn_err *err);

static tn_rc subscribe(struct session *s, tn_err *err)
{
    struct mq_buf b = {0};
    uint64_t end = mq_host->now_ns() + CONNECT_NS;
    mq_add2(&b, 1);
    if (s->link.v5) {
        mq_add_size(&b, 0);
    }
    put_filter(&b, s->info->topic);
    mq_add1(&b, (unsigned)s->conf->sub_qos | (s->link.v5 ? ONLY_NEW : 0));
    tn_rc rc = mq_send(&s->link, MQ_SUBSCRIBE, 2, &b, (tn_str){NULL, 0}, end, err);
    mq_free(&b);
    while (rc == TN_OK) { /* messages of a former session may come first */
        rc = mq_wait(&s->link, end, &s->packet, &s->said, err);
        if (rc == TN_OK && s->packet.type == MQ_SUBACK) {
            break;
        }
        rc = rc == TN_OK ? take_packet(s, err) : rc;
        if (s->full) {
            return TN_OK; /* a long queue from before: its answer comes behind it */
        }
    }
    if (rc == TN_OK && s->said.reason >= 0x80) {
        const char *why = s->link.v5 ? mq_reason(true, MQ_SUBACK, s->said.reason)
                                     : "refused by the server";
        rc = mq_host->fail(err, s->said.reason == 0x87 ? TN_E_DENIED : TN_E_REMOTE,
                           "the server does not let us subscribe: %s%s%.*s", why,
                           s->said.text.n > 0 ? ": " : "",
                           (int)(s->said.text.n < 150 ? s->said.text.n : 150),
                           s->said.text.n > 0 ? s->said.text.s : "");
    }
    return rc;
}

/* ---- messages ---------------------------------------------------------------------------------------- */

static tn_rc answer(struct session *s, unsigned type, unsigned id, tn_err *err)
{
    s->sent_ns = mq_host->now_ns();
    return mq_send_id(&s->link, type, id, s->sent_ns + CONNECT_NS, err);
}

/* PUBACK, or the first half of QoS 2: PUBREC; the tag is the packet id with the QoS above it. */
static tn_rc acknowledge(struct session *s, uint64_t tag, tn_err *err)
{
    return answer(s, tag >> 16 == 1 ? MQ_PUBACK : MQ_PUBREC, (unsigned)(tag & 0xFFFF), err);
}

static tn_rc deliver(struct session *s, tn_err *err)
{
    const struct mq_said *m = &s->said;
    uint64_t tag = (uint64_t)m->qos << 16 | m->id;
    tn_err why = TN_ERR_INIT;
    tn_str payload =
        m->payload; /* one that was not kept is beyond the bound, whatever max_packet says */
    payload.n = payload.s == NULL && payload.n <= TN_DELIVER_MAX ? TN_DELIVER_MAX + 1 : payload.n;
    tn_rc rc = mq_host->subs->deliver(mq_host->ctx, s->sub, m->topic, payload, tag,
                                      m->qos > 0 ? TN_DELIVER_TELL : TN_DELIVER_DROP, &why);
    s->full = rc == TN_E_LIMIT;
    s->outstanding += rc == TN_OK && m->qos > 0;
    if (rc == TN_E_INVAL) { /* too large: counted; it would come again and again */
        return m->qos > 0 ? acknowledge(s, tag, err) : TN_OK;
    }
    if (rc != TN_OK && rc != TN_E_LIMIT) {
        *err = why;
        return rc;
    }
    return TN_OK;
}

static tn_rc take_packet(struct session *s, tn_err *err)
{
    switch (s->packet.type) {
    case MQ_PUBLISH:
        return deliver(s, err);
    case MQ_PUBREL:
        return answer(s, MQ_PUBCOMP, s->said.id, err);
    case MQ_DISCONNECT:
        return mq_goodbye(&s->link, &s->said, err);
    case MQ_PINGRESP:
        s->asked = false;
        return TN_OK;
    case MQ_SUBACK:
        return s->said.reason >= 0x80
                   ? mq_host->fail(err, TN_E_REMOTE, "the server does not let us subscribe: %s",
                                   mq_reason(s->link.v5, MQ_SUBACK, s->said.reason))
                   : TN_OK;
    default:
        return TN_OK;
    }
}

/* All packets that are there, until one finds no room. */
static tn_rc take_all(struct session *s, tn_err *err)
{
    tn_rc rc = TN_OK;
    while (rc == TN_OK && !s->full) {
        rc = mq_next(&s->link, &s->packet, &s->said, err);
        if (rc == TN_E_NOTFOUND) {
            return TN_OK;
        }
        rc = rc == TN_OK ? take_packet(s, err) : rc;
    }
    return rc;
}

/* What became of messages: committed ones are acknowledged, in the order they came. */
static tn_rc settle(struct session *s, tn_err *err)
{
    tn_sub_done done[256];
    tn_rc rc = TN_OK;
    uint32_t n;
    do {
        n = mq_host->subs->done(mq_host->ctx, s->sub, done, 256);
        for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
            s->outstanding--;
            rc = acknowledge(s, done[i].tag, err); /* what can never be stored, too */
        }
    } while (n == 256 && rc == TN_OK);
    if (rc == TN_OK && s->full) {
        rc = deliver(s, err);
        if (rc == TN_OK && !s->full) { /* what it said meanwhile was not read: it is not silent */
            s->heard_ns = mq_host->now_ns();
            rc = take_all(s, err);
        }
    }
    return rc;
}

/* ---- the loop ---------------------------------------------------------------------------------------- */

static tn_rc fill(struct session *s, tn_err *err)
{
    tn_err moment = TN_ERR_INIT;
    tn_rc rc = mq_fill(&s->link, mq_host->now_ns() + MOMENT_NS, &moment);
    if (rc == TN_OK) {
        s->heard_ns = mq_host->now_ns();
        return take_all(s, err);
    }
    if (rc == TN_E_TIMEOUT) {
        return TN_OK;
    }
    bool early = mq_host->now_ns() - s->since_ns < 5 * NS_PER_SEC;
    return mq_host->fail(err, rc, "%s%s%s%s", moment.msg,
                         early ? "; does another client use the client id " : "",
                         early ? s->link.client_id : "", early ? "?" : "");
}

/* Keeps the connection alive, and notices when it is dead. How long to sleep, in ms. */
static tn_rc keep_alive(struct session *s, int *ret_ms, tn_err *err)
{
    uint64_t now = mq_host->now_ns(), every = (uint64_t)s->keepalive * NS_PER_SEC / 2;
    if (s->asked && !s->full && now - s->heard_ns > ANSWER_NS && now - s->asked_ns > ANSWER_NS) {
        return mq_host->fail(err, TN_E_UNAVAIL, "the server gave no sign of life for %llu s",
                             (unsigned long long)((now - s->heard_ns) / NS_PER_SEC));
    }
    tn_rc rc = TN_OK;
    if (s->keepalive > 0 && now - s->sent_ns >= every) {
        rc = answer(s, MQ_PINGREQ, 0, err);
        s->asked_ns = s->asked ? s->asked_ns : now; /* the first of those without an answer */
        s->asked = true;
    }
    *ret_ms = s->asked || (s->keepalive > 0 && s->keepalive < 4) ? 500 : 1000;
    return rc;
}

/* The subscription is to end: what is being committed is still acknowledged. */
static void part(struct session *s)
{
    uint64_t end = mq_host->now_ns() + PART_NS;
    tn_err err = TN_ERR_INIT;
    s->full = false;
    while (s->outstanding > 0 && mq_host->now_ns() < end) {
        struct pollfd fd = {.fd = s->info->done_fd, .events = POLLIN};
        poll(&fd, 1, 50);
        if (fd.revents != 0 && settle(s, &err) != TN_OK) {
            break;
        }
    }
}

static tn_rc run(struct session *s, tn_err *err)
{
    tn_rc rc = take_all(s, err);
    while (rc == TN_OK) {
        struct pollfd fds[] = {{.fd = s->info->stop_fd, .events = POLLIN},
                               {.fd = s->info->done_fd, .events = POLLIN},
                               {.fd = s->full ? -1 : s->link.stream.fd, .events = POLLIN}};
        int ms = 1000;
        rc = keep_alive(s, &ms, err);
        if (rc != TN_OK || (poll(fds, 3, ms) < 0 && errno == EINTR)) {
            continue;
        }
        if (fds[0].revents != 0) {
            part(s);
            return TN_OK;
        }
        if (fds[1].revents != 0 || s->full) { /* room may come without a message to acknowledge */
            rc = settle(s, err);
        }
        if (rc == TN_OK && fds[2].revents != 0) {
            rc = fill(s, err);
        }
    }
    return rc;
}

static tn_rc consume(void *inst, tn_sub *sub, const tn_sub_info *info, tn_err *err)
{
    const struct mq_conf *conf = info->conf;
    struct session s = {.sub = sub, .info = info, .conf = conf};
    struct stream_tls tls = {0};
    char id[160];
    (void)inst;
    s.link.conf = conf;
    s.link.pass_large = true;
    s.link.stream.fd = -1;
    client_id(&s, id, sizeof id);
    const struct mq_open how = {
        .client_id = {id, strlen(id)},
        .clean = conf->sub_qos == 0,
        .expiry_s = conf->sub_qos > 0 ? (uint32_t)(conf->sub_session.ms / 1000) : 0,
        .receive_max = (uint32_t)conf->sub_unacked};
    tn_rc rc = filter_check(info->topic, err);
    rc = rc == TN_OK ? stream_tls_init(mq_host, conf->tls, conf->tls_ca, conf->tls_cert,
                                       conf->tls_key.s, &tls, err)
                     : rc;
    rc = rc == TN_OK ? mq_link_open(&s.link, &tls, &how, mq_host->now_ns() + CONNECT_NS, err) : rc;
    s.keepalive = s.link.server.has_keepalive ? s.link.server.keepalive : (unsigned)conf->keepalive;
    s.since_ns = s.sent_ns = s.heard_ns = mq_host->now_ns();
    rc = rc == TN_OK ? subscribe(&s, err) : rc;
    if (rc == TN_OK) {
        mq_host->subs->consuming(mq_host->ctx, sub);
        rc = run(&s, err);
    }
    mq_link_close(&s.link, rc == TN_OK);
    stream_tls_finish(&tls);
    return rc;
}

static const tn_trigger_ops ops = {
    .size = sizeof ops,
    .sub_config = mq_fields,
    .sub_conf_size = sizeof(struct mq_conf),
    .consume = consume,
};

TN_PLUGIN(.kind = TN_KIND_TRIGGER, .flags = TN_P_THREAD_SAFE, .name = "mqtt", .version = "1.0.0",
          .summary = "Messages of MQTT topics call functions", .caps = TN_CAP_SUBSCRIBE,
          .load = on_load, .ops = &ops)
