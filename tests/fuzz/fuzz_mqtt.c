/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile MQTT server may send: packets one after the other, as 5.0 and as 3.1.1, and heads of WebSocket frames. Every
 * text lies inside its packet, and a packet that was found is found again in exactly its bytes. */
#include "connectors/mqtt/mqtt.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX 65536

static void inside(const struct mq_packet *p, tn_str s)
{
    const uint8_t *at = (const uint8_t *)s.s;
    if (s.n != 0 && (at < p->body || at + s.n > p->body + p->n)) {
        abort();
    }
}

static void packets(const uint8_t *data, size_t n, bool v5)
{
    struct mq_packet p, again;
    struct mq_said said;
    while (n > 0 && mq_packet_find(data, n, MAX, &p) == TN_OK) {
        if (p.whole > n || p.n > MAX || mq_packet_find(data, p.whole, MAX, &again) != TN_OK ||
            again.whole != p.whole || mq_packet_find(data, p.whole - 1, MAX, &again) == TN_OK) {
            abort();
        }
        if (mq_read_packet(&p, v5, &said) == TN_OK) {
            inside(&p, said.topic);
            inside(&p, said.payload);
            inside(&p, said.text);
            if (said.qos > 2 || mq_reason(v5, p.type, said.reason) == NULL) {
                abort();
            }
        }
        data += p.whole;
        n -= p.whole;
    }
}

/* A packet of which only the beginning is there: what is told of it is there. */
static void large(const uint8_t *data, size_t n)
{
    struct mq_packet p;
    struct mq_said said;
    if (mq_large_find(data, n, &p, &said) == TN_OK) {
        const uint8_t *topic = (const uint8_t *)said.topic.s;
        if (p.type != MQ_PUBLISH || said.qos > 2 || said.payload.s != NULL ||
            said.payload.n + said.topic.n + 2 > p.n ||
            (said.topic.n != 0 && (topic < data || topic + said.topic.n > data + n))) {
            abort();
        }
    }
}

static void frames(const uint8_t *data, size_t n)
{
    uint64_t len = 0;
    unsigned op;
    int head;
    while ((head = mq_ws_head(data, n, &op, &len)) > 0 && len <= n - (size_t)head) {
        data += (size_t)head + (size_t)len;
        n -= (size_t)head + (size_t)len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n + 1); /* exactly as long as it is, so that a byte too far is seen */
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data, n);
    uint8_t *exact = realloc(copy, n > 0 ? n : 1);
    packets(exact, n, true);
    packets(exact, n, false);
    large(exact, n);
    frames(exact, n);
    free(exact);
    return 0;
}
