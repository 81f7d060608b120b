/* SPDX-License-Identifier: Apache-2.0 */
/* What nsqlookupd and nsqd may answer to who looks for the nodes of a topic. Input: a byte of choices, then answers: status,
 * two bytes of length, body. With fixed nodes the first body is their list. Nobody is connected to twice, every address is
 * one, and a look that finds nobody says why. */
#include "plugins/trigger_nsq/consumer.h"
#include "kernel/value/json.h"
#include "tests/fuzz/wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { FIXED = 1, TCP = 2, SOME_FAIL = 4, FULL = 8 };
#define LOOKS 3

const tn_host *nsq_host;

static uint8_t choices;
static char *answer; /* of its exact size: who reads behind it is found */

/* ---- the other side ---------------------------------------------------------------------------------- */

/* The next answer; false: there is none. */
static bool next_answer(unsigned *ret_status, size_t *ret_n)
{
    uint8_t head[3];
    wire.piece = SIZE_MAX;
    if (wire_take(head, sizeof head) != sizeof head) {
        return false;
    }
    size_t n = (size_t)head[1] << 8 | head[2];
    n = n < wire.n ? n : wire.n;
    free(answer);
    answer = malloc(n + (n == 0));
    *ret_status = head[0] == 0 ? 200 : head[0] == 1 ? 404 : 100u + head[0];
    *ret_n = answer != NULL ? wire_take(answer, n) : 0;
    return answer != NULL;
}

tn_rc nsq_http(struct nsq_conn *c, const char *host, uint16_t port, const char *method,
               const char *target, const void *body, size_t n, uint64_t deadline_ns,
               struct nsq_reply *ret, tn_err *err)
{
    unsigned status = 0;
    size_t got = 0;
    (void)c, (void)body, (void)n, (void)deadline_ns;
    if (host[0] == '\0' || port == 0 || strcmp(method, "GET") != 0 || target[0] != '/') {
        abort();
    }
    if (!next_answer(&status, &got)) {
        return nsq_host->fail(err, TN_E_UNAVAIL, "nobody is there");
    }
    *ret = (struct nsq_reply){(int)status, answer, got};
    return TN_OK;
}

tn_rc http_open(const tn_host *host, const struct http_conf *conf, struct http **ret, tn_err *err)
{
    (void)host, (void)conf, (void)err;
    *ret = NULL;
    return TN_OK;
}

void http_close(struct http *h)
{
    (void)h;
}

void http_reply_free(struct http_reply *r)
{
    (void)r;
}

void nsq_escape(struct message_buf *b, const char *s, size_t n, const char *keep)
{
    (void)keep;
    message_put(b, s, n);
}

/* ---- the other files of the trigger ------------------------------------------------------------------ */

bool consumer_stops(const struct consumer *c)
{
    (void)c;
    return false;
}

void links_ready(struct consumer *c, bool on)
{
    (void)c, (void)on;
}

tn_rc link_make(struct consumer *c, const struct nsq_node *node, tn_err *err)
{
    size_t n = strnlen(node->host, sizeof node->host);
    if (n == 0 || n == sizeof node->host || node->port == 0 || c->nlinks >= LINKS_MAX) {
        abort();
    }
    for (uint32_t i = 0; i < c->nlinks; i++) {
        if (c->link[i]->node.port == node->port && strcmp(c->link[i]->node.host, node->host) == 0) {
            abort();
        }
    }
    struct link *l = (choices & SOME_FAIL) != 0 && node->port % 3 == 0 ? NULL
                                                                       : calloc(1, sizeof *l);
    if (l == NULL) {
        return nsq_host->fail(err, TN_E_UNAVAIL, "this one is not");
    }
    l->node = *node;
    c->link[c->nlinks++] = l;
    return TN_OK;
}

static void consuming(void *ctx, tn_sub *sub)
{
    (void)ctx, (void)sub;
}

/* ---- a look after the other -------------------------------------------------------------------------- */

static void look(struct nsq_conf *conf)
{
    tn_err err = TN_ERR_INIT;
    struct consumer c = {.nsq = {.conf = conf, .tcp = (choices & TCP) != 0},
                         .conf = conf,
                         .topic = "t",
                         .full = (choices & FULL) != 0,
                         .err = &err};
    for (int i = 0; i < LOOKS; i++) {
        uint32_t before = c.nlinks;
        err = (tn_err)TN_ERR_INIT;
        tn_rc rc = nodes_look(&c);
        if (c.nlinks < before || c.look_at_ns <= now_ns() ||
            (rc != TN_OK && (c.nlinks != 0 || err.msg[0] == '\0'))) {
            abort();
        }
    }
    while (c.nlinks > 0) {
        free(c.link[--c.nlinks]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const tn_host_json json = {
        .size = sizeof json, .scan = json_scan, .quote = json_quote, .unquote = json_unquote};
    static const tn_host_subs subs = {.size = sizeof subs, .consuming = consuming};
    static const tn_host host = {
        .size = sizeof host, .fail = err_set, .now_ns = now_ns, .json = &json, .subs = &subs};
    struct nsq_conf conf = {.host = "a", .port = 1, .protocol = "http", .refresh = 60};
    char servers[8193] = "";
    unsigned status = 0;
    size_t len = 0;
    nsq_host = &host;
    if (n < 1 || n > 200000) {
        return 0;
    }
    choices = data[0];
    wire.s = data + 1;
    wire.n = n - 1;
    if ((choices & FIXED) != 0 && next_answer(&status, &len)) {
        len = len < sizeof servers ? len : sizeof servers - 1;
        memcpy(servers, answer, len);
        servers[len] = '\0';
    }
    conf.servers = servers;
    look(&conf);
    free(answer);
    answer = NULL;
    return 0;
}
