/* SPDX-License-Identifier: Apache-2.0 */
/* A whole connection to a hostile MQTT server: the handshake of the WebSocket, CONNACK, frames and packets behind them. Input: a byte of
 * options (1: WebSocket, 2: 3.1.1, 4: large messages pass, 8: the answer to the handshake is added), a byte for the size of the pieces, what the
 * server says. How it is cut must not matter, and what is kept of it is bounded. */
#include "connectors/mqtt/mqtt.h"
#include "tests/fuzz/wire.h"

#include <openssl/rand.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
const tn_plugin *tn_plugin_v1(void);

#define MAX_PACKET 4096

/* Every key of a handshake is the same, so that a corpus can hold its answer. */
int RAND_bytes(unsigned char *buf, int num)
{
    memset(buf, 7, (size_t)num);
    return 1;
}

/* ---- the server -------------------------------------------------------------------------------------- */

tn_rc stream_write(struct stream *s, const void *p, size_t n, uint64_t deadline_ns, tn_err *err)
{
    (void)s, (void)p, (void)n, (void)deadline_ns, (void)err;
    return TN_OK;
}

tn_rc stream_read(struct stream *s, void *p, size_t cap, uint64_t deadline_ns, size_t *ret_n,
                  tn_err *err)
{
    (void)s, (void)deadline_ns;
    *ret_n = wire_take(p, cap);
    return *ret_n != 0 ? TN_OK : err_set(err, TN_E_UNAVAIL, "the server closed the connection");
}

/* ---- one conversation -------------------------------------------------------------------------------- */

static uint64_t told;

static void mix(const void *p, size_t n)
{
    const uint8_t *s = p;
    for (size_t i = 0; i < n; i++) {
        told = (told ^ s[i]) * 0x100000001B3u;
    }
    told = (told ^ n ^ 0x9E37u) * 0x100000001B3u;
}

static void listen_to(struct mq_link *l, bool pass_large)
{
    struct mq_packet p;
    struct mq_said said = {0};
    tn_err err = TN_ERR_INIT;
    tn_rc rc;
    l->pass_large = pass_large;
    while ((rc = mq_wait(l, 0, &p, &said, &err)) == TN_OK) {
        mix(&p.type, 1);
        if (said.payload.s != NULL || !pass_large) {
            mix(said.topic.s, said.topic.n);
            mix(said.payload.s, said.payload.s != NULL ? said.payload.n : 0);
        }
        mix(&said.id, sizeof said.id);
        if (l->in.n > MAX_PACKET + 65536 || l->raw.n > MAX_PACKET + 65536) {
            abort();
        }
        said = (struct mq_said){0};
    }
    if (err.msg[0] == '\0') {
        abort();
    }
    mix(&rc, sizeof rc);
}

static uint64_t play(const uint8_t *data, size_t n, size_t piece)
{
    static const struct mq_conf conf[4] = {
        {.host = "a",
         .port = 1,
         .path = "/mqtt",
         .transport = "tcp",
         .protocol = "5",
         .max_packet = {MAX_PACKET}},
        {.host = "a",
         .port = 1,
         .path = "/mqtt",
         .transport = "websockets",
         .protocol = "5",
         .max_packet = {MAX_PACKET}},
        {.host = "a",
         .port = 1,
         .path = "/mqtt",
         .transport = "tcp",
         .protocol = "3.1.1",
         .max_packet = {MAX_PACKET}},
        {.host = "a",
         .port = 1,
         .path = "/mqtt",
         .transport = "websockets",
         .protocol = "3.1.1",
         .max_packet = {MAX_PACKET}},
    };
    const struct stream_tls tls = {.ctx = NULL};
    const struct mq_open how = {.client_id = TN_STR("fuzz"), .clean = true};
    struct mq_link l = {.conf = &conf[data[0] & 3]};
    tn_err err = TN_ERR_INIT;
    wire.s = data + 2;
    wire.n = n - 2;
    wire.piece = piece;
    told = 0;
    tn_rc rc = mq_link_open(&l, &tls, &how, 0, &err);
    mix(&rc, sizeof rc);
    if (rc == TN_OK) {
        listen_to(&l, (data[0] & 4) != 0);
    } else if (err.msg[0] == '\0') {
        abort();
    }
    mq_link_close(&l, false);
    return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const tn_host host = {.size = sizeof host, .fail = err_set, .now_ns = now_ns};
    if (n < 3 || n > 300000) {
        return 0;
    }
    tn_plugin_v1()->load(&host, NULL);
    if (play(data, n, SIZE_MAX) != play(data, n, (size_t)data[1] + 1)) {
        abort(); /* how it is cut must not matter */
    }
    return 0;
}
