/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile nsqd or nsqlookupd may say. Input: a byte that chooses the parser, a byte for the size of the pieces, then
 * frames (for a publisher, or with the highest bit of the first byte for a consumer), an answer of nsqlookupd, or the JSON of /nodes. Every read is inside what came, and how it is cut must not matter. */
#include "connectors/nsq/nsq.h"
#include "plugins/trigger_nsq/consumer.h"
#include "kernel/value/json.h"
#include "tests/fuzz/wire.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX_FRAME 4096

const tn_host *nsq_host;

static size_t pongs;

/* ---- the other side ---------------------------------------------------------------------------------- */

tn_rc stream_write(struct stream *s, const void *p, size_t n, uint64_t deadline_ns, tn_err *err)
{
    (void)s, (void)deadline_ns, (void)err;
    pongs += n == 4 && memcmp(p, "NOP\n", 4) == 0;
    return TN_OK;
}

tn_rc stream_read(struct stream *s, void *p, size_t cap, uint64_t deadline_ns, size_t *ret_n,
                  tn_err *err)
{
    (void)deadline_ns, (void)err;
    *ret_n = wire_take(p, cap);
    s->ended = *ret_n == 0 ? 1 : s->ended;
    return *ret_n != 0 ? TN_OK : TN_E_UNAVAIL;
}

tn_rc nsq_waiting(struct nsq_conn *c, int fd, tn_err *err)
{
    (void)c, (void)fd, (void)err;
    return TN_OK;
}

uint64_t nsq_sooner(uint64_t deadline_ns, int64_t ms)
{
    return deadline_ns + (uint64_t)ms;
}

/* What nsqlookupd answers is the whole input; HTTP itself is libcurl's. */
tn_rc nsq_http(struct nsq_conn *c, const char *host, uint16_t port, const char *method,
               const char *target, const void *body, size_t n, uint64_t deadline_ns,
               struct nsq_reply *ret, tn_err *err)
{
    (void)c, (void)host, (void)port, (void)method, (void)target, (void)body, (void)n;
    (void)deadline_ns, (void)err;
    *ret = (struct nsq_reply){200, (const char *)wire.s, wire.n};
    return TN_OK;
}

/* ---- what is told, as a hash ------------------------------------------------------------------------- */

static uint64_t told;

static void mix(const void *p, size_t n)
{
    const uint8_t *s = p;
    for (size_t i = 0; i < n; i++) {
        told = (told ^ s[i]) * 0x100000001B3u;
    }
    told = (told ^ n ^ 0x9E37u) * 0x100000001B3u;
}

static uint64_t frames(void)
{
    struct stream s = {.fd = 0};
    struct message_buf in = {NULL, 0, 0, false};
    struct nsq_frame f;
    while (nsq_frame_read(&s, &in, MAX_FRAME, 0, &f, NULL) == TN_OK) {
        if (f.n > MAX_FRAME || f.type > NSQ_MESSAGE) {
            abort();
        }
        mix(f.s, f.n);
    }
    mix(&pongs, sizeof pongs);
    message_free(&in);
    return told;
}

/* Of a message beyond the bound only the id and the length are looked at. */
tn_rc flow_deliver(struct consumer *c, struct link *l, const char id[ID_SIZE], tn_str body)
{
    (void)c, (void)l;
    mix(id, ID_SIZE);
    mix(body.s, body.n <= TN_DELIVER_MAX ? body.n : 0);
    mix(&body.n, sizeof body.n);
    return TN_OK;
}

static uint64_t consumer(void)
{
    struct consumer c = {.nlinks = 0};
    struct link l = {.c.stream.fd = open("/dev/null", O_RDONLY | O_CLOEXEC)};
    tn_err err = TN_ERR_INIT;
    while (link_take(&c, &l, &err) == TN_OK) {}
    mix(l.c.out.s, l.c.out.n);
    close(l.c.stream.fd);
    message_free(&l.c.out);
    message_free(&l.in);
    return told;
}

static uint64_t nodes(tn_str text)
{
    struct nsq_nodes found = {NULL, 0};
    if (nsq_nodes_parse(text, text.n % 2 == 0, &found, NULL) == TN_OK) {
        if (found.n == 0 || found.n > NSQ_NODES_MAX) {
            abort();
        }
        for (uint32_t i = 0; i < found.n; i++) {
            mix(found.node[i].host, strlen(found.node[i].host));
            mix(&found.node[i].port, 2);
        }
    }
    nsq_nodes_finish(&found);
    return told;
}

static uint64_t lookupd(void)
{
    static const struct nsq_conf conf = {.host = "a",
                                         .port = 1,
                                         .protocol = "http",
                                         .application = "t",
                                         .refresh = 1,
                                         .max_result = {65536}};
    struct nsq inst = {.conf = &conf};
    struct nsq_conn c = {.inst = &inst};
    tn_err err = TN_ERR_INIT;
    tn_rc rc = nsq_nodes_ready(&c, 0, &err);
    mix(&rc, sizeof rc);
    mix(&c.nodes.n, sizeof c.nodes.n);
    nsq_nodes_finish(&c.nodes);
    message_free(&c.in);
    return told;
}

static uint64_t play(const uint8_t *data, size_t n, size_t piece)
{
    wire.s = data + 2;
    wire.n = n - 2;
    wire.piece = piece;
    pongs = 0;
    told = 0;
    return data[0] >= 0x80    ? consumer()
           : data[0] % 3 == 0 ? frames()
           : data[0] % 3 == 1 ? lookupd()
                              : nodes((tn_str){(const char *)data + 2, n - 2});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const tn_host_json json = {
        .size = sizeof json, .scan = json_scan, .quote = json_quote, .unquote = json_unquote};
    static const tn_host host = {
        .size = sizeof host, .fail = err_set, .now_ns = now_ns, .json = &json};
    nsq_host = &host;
    if (n < 3 || n > 100000) {
        return 0;
    }
    if (play(data, n, SIZE_MAX) != play(data, n, (size_t)data[1] + 1)) {
        abort(); /* how it is cut must not matter */
    }
    return 0;
}
