/* SPDX-License-Identifier: Apache-2.0 */
/* The far side of connectors/common/stream for fuzz targets: input in pieces instead of a socket. A target defines
 * stream_read() and stream_write(), which is where they differ. */
#pragma once
#include "connectors/common/stream.h"
#include "kernel/base/err.h"

#include <string.h>

static struct {
    const uint8_t *s;
    size_t n, piece;
} wire;

/* The next piece, at most cap bytes; 0: nothing is left. */
static size_t wire_take(void *p, size_t cap)
{
    size_t k = wire.n < wire.piece ? wire.n : wire.piece;
    k = k < cap ? k : cap;
    if (k != 0) {
        memcpy(p, wire.s, k);
        wire.s += k;
        wire.n -= k;
    }
    return k;
}

tn_rc stream_tls_init(const tn_host *host, const char *mode, const char *ca, const char *cert,
                      const char *key, struct stream_tls *ret, tn_err *err)
{
    (void)host, (void)mode, (void)ca, (void)cert, (void)key, (void)err;
    *ret = (struct stream_tls){.ctx = NULL};
    return TN_OK;
}

void stream_tls_finish(struct stream_tls *tls)
{
    (void)tls;
}

tn_rc stream_open(struct stream *s, const tn_host *host, const struct stream_tls *tls,
                  const char *name, uint16_t port, uint64_t deadline_ns, tn_err *err)
{
    (void)host, (void)tls, (void)name, (void)port, (void)deadline_ns, (void)err;
    *s = (struct stream){.fd = 0};
    return TN_OK;
}

tn_rc stream_secure(struct stream *s, const struct stream_tls *tls, const char *name,
                    uint64_t deadline_ns, tn_err *err)
{
    (void)s, (void)tls, (void)name, (void)deadline_ns, (void)err;
    return TN_OK;
}

void stream_close(struct stream *s, int polite)
{
    (void)s, (void)polite;
}

void stream_interrupt(const struct stream *s)
{
    (void)s;
}

int stream_stale(struct stream *s)
{
    (void)s;
    return 0;
}

/* ---- the host ---------------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    return 1000000000u;
}
