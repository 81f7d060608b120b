/* SPDX-License-Identifier: Apache-2.0 */
/* Byte streams with deadlines. The socket blocks, but never longer than a slice: a request then costs one system
 * call for writing and one for reading, and a deadline is still kept. */
#include "common/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define SLICE_MS 100

/* ---- TLS --------------------------------------------------------------------------------------------- */

static tn_rc ssl_problem(const tn_host *host, const char *what, tn_err *err)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    tn_rc rc = host->fail(err, TN_E_CONFIG, "TLS: %s cannot be used: %s", what,
                          why != NULL ? why : "unknown format");
    ERR_clear_error();
    return rc;
}

/* Loads one setting with a function of OpenSSL that wants a file. */
static tn_rc load(const tn_host *host, SSL_CTX *ctx, const char *what, const char *text,
                  tn_err *err)
{
    char path[64];
    const char *file = NULL;
    int fd = -1, ok;
    tn_rc rc = net_pem(host, what, text, path, &file, &fd, err);
    if (rc != TN_OK) {
        return rc;
    }
    if (strcmp(what, "tls_ca") == 0) {
        ok = SSL_CTX_load_verify_locations(ctx, file, NULL);
    } else if (strcmp(what, "tls_cert") == 0) {
        ok = SSL_CTX_use_certificate_chain_file(ctx, file);
    } else {
        ok = SSL_CTX_use_PrivateKey_file(ctx, file, SSL_FILETYPE_PEM);
    }
    rc = ok == 1 ? TN_OK : ssl_problem(host, what, err);
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

static int given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

tn_rc stream_tls_init(const tn_host *host, const char *mode, const char *ca, const char *cert,
                      const char *key, struct stream_tls *ret, tn_err *err)
{
    struct stream_tls t = {.verify = strcmp(mode, "on") == 0};
    tn_rc rc = TN_OK;
    if (strcmp(mode, "off") == 0) {
        *ret = (struct stream_tls){.ctx = NULL};
        return TN_OK;
    }
    t.ctx = SSL_CTX_new(TLS_client_method());
    if (t.ctx == NULL || SSL_CTX_set_min_proto_version(t.ctx, TLS1_2_VERSION) != 1) {
        rc = host->fail(err, TN_E_NOMEM, "TLS: the library does not start");
    }
    if (rc == TN_OK && t.verify) {
        SSL_CTX_set_verify(t.ctx, SSL_VERIFY_PEER, NULL);
        if (given(ca)) {
            rc = load(host, t.ctx, "tls_ca", ca, err);
        } else if (SSL_CTX_set_default_verify_paths(t.ctx) != 1) {
            rc = ssl_problem(host, "the authorities of this system", err);
        }
    }
    if (rc == TN_OK && given(cert)) {
        rc = load(host, t.ctx, "tls_cert", cert, err);
        rc = rc == TN_OK && given(key) ? load(host, t.ctx, "tls_key", key, err) : rc;
        if (rc == TN_OK && SSL_CTX_check_private_key(t.ctx) != 1) {
            rc = ssl_problem(host, "tls_key, which must belong to tls_cert,", err);
        }
    }
    if (rc != TN_OK) {
        stream_tls_finish(&t);
        return rc;
    }
    *ret = t;
    return TN_OK;
}

void stream_tls_finish(struct stream_tls *tls)
{
    SSL_CTX_free(tls->ctx);
    *tls = (struct stream_tls){.ctx = NULL};
}

/* The name, or the address, that the certificate must be for. */
static int expect(SSL *ssl, const char *name, int verify)
{
    unsigned char addr[16];
    int is_addr = inet_pton(AF_INET, name, addr) == 1 || inet_pton(AF_INET6, name, addr) == 1;
    if (!is_addr && SSL_set_tlsext_host_name(ssl, name) != 1) {
        return 0;
    }
    return !verify   ? 1
           : is_addr ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1
                     : SSL_set1_host(ssl, name) == 1;
}

static tn_rc refused(struct stream *s, const char *name, int e, tn_err *err)
{
    long verified = SSL_get_verify_result(s->ssl);
    unsigned long last = ERR_peek_last_error();
    const char *why = ERR_reason_error_string(last);
    if (verified != X509_V_OK) {
        return s->host->fail(
            err, TN_E_DENIED,
            "TLS: the certificate of %.120s is refused: certificate verify failed: %s; check "
            "tls_ca and the name in host",
            name, X509_verify_cert_error_string(verified));
    }
    if (e == SSL_ERROR_SSL && ERR_GET_REASON(last) >= SSL_AD_REASON_OFFSET) {
        return s->host->fail(err, TN_E_DENIED,
                             "TLS: %.120s refuses us: %s; check tls_cert and tls_key", name,
                             why != NULL ? why : "unknown");
    }
    tn_rc rc = s->host->fail(
        err, TN_E_UNAVAIL,
        "TLS: no handshake with %.120s: %s; does the server speak TLS on this port?", name,
        why != NULL ? why : "the connection was closed");
    if (err != NULL) {
        err->flags |= TN_ERR_RETRY;
    }
    return rc;
}

static tn_rc shake(struct stream *s, const struct stream_tls *tls, const char *name,
                   uint64_t deadline_ns, tn_err *err)
{
    s->ssl = SSL_new(tls->ctx);
    if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1 || !expect(s->ssl, name, tls->verify)) {
        return s->host->fail(err, TN_E_NOMEM, "TLS: no session for %.120s", name);
    }
    for (;;) { /* the socket does not block yet */
        ERR_clear_error();
        int n = SSL_connect(s->ssl), e = n == 1 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, n);
        if (n == 1) {
            return TN_OK;
        }
        if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) {
            tn_rc rc = refused(s, name, e, err);
            ERR_clear_error();
            return rc;
        }
        if (net_wait(s->host, s->fd, e == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_ns) !=
            TN_OK) {
            return s->host->fail(
                err, TN_E_TIMEOUT,
                "TLS: %.120s did not finish the handshake in time; does the server speak TLS on "
                "this port?",
                name);
        }
    }
}

/* ---- life -------------------------------------------------------------------------------------------- */

static void set_slice(struct stream *s, int ms)
{
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    if (s->slice_ms != ms && setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0 &&
        setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) == 0) {
        s->slice_ms = ms;
    }
}

tn_rc stream_open(struct stream *s, const tn_host *host, const struct stream_tls *tls,
                  const char *name, uint16_t port, uint64_t deadline_ns, tn_err *err)
{
    *s = (struct stream){.host = host, .fd = -1};
    tn_rc rc = net_connect(host, name, port, deadline_ns, &s->fd, err);
    if (rc == TN_OK && tls->ctx != NULL) {
        rc = shake(s, tls, name, deadline_ns, err);
    }
    if (rc != TN_OK) {
        stream_close(s, 0);
        return rc;
    }
    set_slice(s, SLICE_MS);
    fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) & ~O_NONBLOCK);
    return TN_OK;
}

tn_rc stream_secure(struct stream *s, const struct stream_tls *tls, const char *name,
                    uint64_t deadline_ns, tn_err *err)
{
    fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_NONBLOCK);
    tn_rc rc = shake(s, tls, name, deadline_ns, err);
    fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) & ~O_NONBLOCK);
    return rc;
}

void stream_close(struct stream *s, int polite)
{
    if (s->ssl != NULL) {
        if (polite) {
            set_slice(s, 1);
            SSL_shutdown(s->ssl);
        }
        SSL_free(s->ssl);
        ERR_clear_error();
    }
    if (s->host != NULL && s->fd >= 0) {
        close(s->fd);
    }
    *s = (struct stream){.fd = -1};
}

void stream_interrupt(const struct stream *s)
{
    shutdown(s->fd, SHUT_RDWR);
}

/* With TLS the peer may have sent what is no data (session tickets); OpenSSL then asks for more. */
int stream_stale(struct stream *s)
{
    struct pollfd p = {s->fd, POLLIN, 0};
    char byte;
    if (poll(&p, 1, 0) == 0) {
        return 0;
    }
    if (s->ssl == NULL) {
        return 1;
    }
    int flags = fcntl(s->fd, F_GETFL);
    fcntl(s->fd, F_SETFL, flags | O_NONBLOCK);
    ERR_clear_error();
    int n = SSL_peek(s->ssl, &byte, 1);
    int stale = n > 0 || SSL_get_error(s->ssl, n) != SSL_ERROR_WANT_READ;
    ERR_clear_error();
    fcntl(s->fd, F_SETFL, flags);
    return stale;
}

/* ---- reading and writing ----------------------------------------------------------------------------- */

static tn_rc broken(struct stream *s, tn_rc rc, const char *what, tn_err *err)
{
    s->host->fail(err, rc, "%s", what);
    if (err != NULL) {
        err->flags |= TN_ERR_CONN_BROKEN;
    }
    return rc;
}

/* Before an operation: how long it may block at most. TN_E_TIMEOUT: the deadline has passed. */
static tn_rc slice(struct stream *s, uint64_t deadline_ns, tn_err *err)
{
    int left = net_left_ms(s->host, deadline_ns);
    if (left == 0) {
        return broken(s, TN_E_TIMEOUT, "the server did not answer in time", err);
    }
    set_slice(s, left < 0 || left > SLICE_MS ? SLICE_MS : left);
    return TN_OK;
}

/* What a failed operation of OpenSSL or the socket means: TN_OK = try again. */
static tn_rc judge(struct stream *s, int n, tn_err *err)
{
    char text[160];
    int e = errno;
    if (s->ssl != NULL) {
        int ssl_error = SSL_get_error(s->ssl, n);
        if (ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE) {
            return TN_OK;
        }
        const char *why = ERR_reason_error_string(ERR_peek_last_error());
        ERR_clear_error();
        if (ssl_error == SSL_ERROR_ZERO_RETURN || (ssl_error == SSL_ERROR_SYSCALL && e == 0)) {
            s->ended = ssl_error == SSL_ERROR_ZERO_RETURN;
            return broken(s, TN_E_UNAVAIL, "the server closed the connection", err);
        }
        snprintf(text, sizeof text, "the connection to the server was lost: TLS: %.80s",
                 ssl_error == SSL_ERROR_SYSCALL ? strerror(e)
                 : why != NULL                  ? why
                                                : "unknown error");
        return broken(s, TN_E_UNAVAIL, text, err);
    }
    if (n < 0 && (e == EAGAIN || e == EWOULDBLOCK || e == EINTR)) {
        return TN_OK;
    }
    if (n == 0) {
        s->ended = 1;
        return broken(s, TN_E_UNAVAIL, "the server closed the connection", err);
    }
    snprintf(text, sizeof text, "the connection to the server was lost: %.80s", strerror(e));
    return broken(s, TN_E_UNAVAIL, text, err);
}

static int clip(size_t n)
{
    return n < 1u << 30 ? (int)n : 1 << 30;
}

tn_rc stream_write(struct stream *s, const void *p, size_t n, uint64_t deadline_ns, tn_err *err)
{
    const char *at = p;
    while (n != 0) {
        tn_rc rc = slice(s, deadline_ns, err);
        if (rc != TN_OK) {
            return rc;
        }
        errno = 0;
        int w = s->ssl != NULL ? SSL_write(s->ssl, at, clip(n))
                               : (int)send(s->fd, at, (size_t)clip(n), MSG_NOSIGNAL);
        if (w > 0) {
            at += w;
            n -= (size_t)w;
        } else if ((rc = judge(s, w < 0 ? w : -1, err)) != TN_OK) {
            return rc;
        }
    }
    return TN_OK;
}

tn_rc stream_read(struct stream *s, void *p, size_t cap, uint64_t deadline_ns, size_t *ret_n,
                  tn_err *err)
{
    for (;;) {
        tn_rc rc = slice(s, deadline_ns, err);
        if (rc != TN_OK) {
            return rc;
        }
        errno = 0;
        int n = s->ssl != NULL ? SSL_read(s->ssl, p, clip(cap))
                               : (int)recv(s->fd, p, (size_t)clip(cap), 0);
        if (n > 0) {
            *ret_n = (size_t)n;
            return TN_OK;
        }
        if ((rc = judge(s, n, err)) != TN_OK) {
            return rc;
        }
    }
}
