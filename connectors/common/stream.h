/* SPDX-License-Identifier: Apache-2.0 */
/* A byte stream to a server over TCP, with TLS when wanted, for protocols spoken by ourselves. Compiled into each
 * plugin that names it together with `net`. Deadlines are CLOCK_MONOTONIC nanoseconds, 0 = none. */
#pragma once
#include "common/net.h"

struct ssl_st;
struct ssl_ctx_st;

/* What is needed for TLS, made once for an instance and used by all its streams. Zeroed: plain TCP. */
struct stream_tls {
    struct ssl_ctx_st *ctx;
    int verify;
};
/* mode: "on" (the certificate must be valid for the host), "unverified", "off". ca, cert, key: PEM text or the path
 * of a file, may be NULL or ""; without ca those of the system. TN_E_CONFIG names what cannot be used. */
tn_rc stream_tls_init(const tn_host *host, const char *mode, const char *ca, const char *cert,
                      const char *key, struct stream_tls *ret, tn_err *err);
void stream_tls_finish(struct stream_tls *tls);

struct stream {
    const tn_host *host;
    struct ssl_st *ssl;
    int fd;
    int slice_ms; /* how long the kernel lets one read or write block */
    int ended;    /* the peer closed it in order; there is nothing more to read */
};
/* Connects and shakes hands; the text of an error begins with the step that failed: DNS, TCP, TLS. The stream
 * must not move in memory. */
tn_rc stream_open(struct stream *s, const tn_host *host, const struct stream_tls *tls,
                  const char *name, uint16_t port, uint64_t deadline_ns, tn_err *err);
/* Goes on with TLS on a stream that was opened without, when both sides have agreed to; tls must have a ctx. An error
 * begins with "TLS:". */
tn_rc stream_secure(struct stream *s, const struct stream_tls *tls, const char *name,
                    uint64_t deadline_ns, tn_err *err);
/* polite: tells the peer, without waiting. Zeroed input is allowed. */
void stream_close(struct stream *s, int polite);
/* All n bytes, or an error: TN_E_TIMEOUT or TN_E_UNAVAIL, marked TN_ERR_CONN_BROKEN. */
tn_rc stream_write(struct stream *s, const void *p, size_t n, uint64_t deadline_ns, tn_err *err);
/* 1 to cap bytes into p. Errors as stream_write(). */
tn_rc stream_read(struct stream *s, void *p, size_t cap, uint64_t deadline_ns, size_t *ret_n,
                  tn_err *err);
/* Between two requests nothing may come: 1 when the peer has closed the stream or said something. Never waits. */
int stream_stale(struct stream *s);
/* From any thread: the thread that reads or writes fails at once. */
void stream_interrupt(const struct stream *s);
