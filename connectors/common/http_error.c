/* SPDX-License-Identifier: Apache-2.0 */
/* What a code of libcurl means: the step that failed, the class of the error, and what to do. */
#include "common/http_inner.h"

#include <errno.h>
#include <string.h>

#define NOT_TWICE                                                                                  \
    "the server closed a kept connection; the request may have been carried out and is not sent twice"

/* Codes that mean one thing whenever they come. */
static const struct {
    CURLcode code;
    tn_rc rc;
    const char *text;
} plain[] = {
    {CURLE_SSL_CERTPROBLEM, TN_E_CONFIG, "TLS: tls_cert or tls_key cannot be used"},
    {CURLE_SSL_CACERT_BADFILE, TN_E_CONFIG,
     "TLS: tls_ca cannot be used: there is no certificate in it"},
    {CURLE_SSL_ENGINE_INITFAILED, TN_E_CONFIG, "TLS: the library does not start"},
    {CURLE_BAD_CONTENT_ENCODING, TN_E_UNAVAIL, "the answer is packed in a way that cannot be read"},
    {CURLE_PARTIAL_FILE, TN_E_UNAVAIL, "the connection was closed in the middle of the answer"},
    {CURLE_GOT_NOTHING, TN_E_UNAVAIL, "the server closed the connection without an answer"},
    {CURLE_SEND_FAIL_REWIND, TN_E_UNAVAIL, NOT_TWICE},
    {CURLE_ABORTED_BY_CALLBACK, TN_E_UNAVAIL, NOT_TWICE}, /* on_connected() */
    {CURLE_WEIRD_SERVER_REPLY, TN_E_UNAVAIL, "the answer is no HTTP; check port and protocol"},
    {CURLE_UNSUPPORTED_PROTOCOL, TN_E_UNAVAIL, "the answer is no HTTP; check port and protocol"},
    {CURLE_OUT_OF_MEMORY, TN_E_NOMEM, "no memory for the request"},
    {CURLE_COULDNT_RESOLVE_PROXY, TN_E_UNAVAIL,
     "DNS: the name of the proxy cannot be resolved; check proxy"},
};

static tn_rc late_where(struct http *h, tn_err *err)
{
    curl_off_t tcp = 0;
    curl_easy_getinfo(h->easy, CURLINFO_CONNECT_TIME_T, &tcp);
    if (!h->connected && tcp == 0) {
        return h->host->fail(
            err, TN_E_TIMEOUT,
            "TCP: %.200s port %u does not answer in time; a firewall may drop packets",
            h->host_name, h->port);
    }
    return h->connected
               ? h->host->fail(err, TN_E_TIMEOUT, "%.200s did not answer in time", h->host_name)
               : h->host->fail(
                     err, TN_E_TIMEOUT,
                     "TLS: %.200s did not finish the handshake in time; does the server speak TLS "
                     "on this port?",
                     h->host_name);
}

static tn_rc stopped(struct http *h, tn_err *err)
{
    switch (h->stop) {
    case HTTP_STOP_BODY:
        return h->host->fail(
            err, TN_E_LIMIT,
            "the answer of %.200s is larger than max_result (%lld bytes); ask for less at a time",
            h->host_name, (long long)h->conf->max_result.n);
    case HTTP_STOP_HEADERS:
        return h->host->fail(
            err, TN_E_LIMIT,
            "the headers of the answer are larger than %d bytes, more than %d lines, or one of them is "
            "larger than libcurl takes (100 KB)",
            HTTP_HEADERS_MAX, HTTP_LINES_MAX);
    case HTTP_STOP_PRIVATE:
        return h->host->fail(
            err, TN_E_DENIED,
            "%.200s has an address that is not a public one, and block_private forbids those",
            h->host_name);
    default:
        return h->host->fail(err, TN_E_NOMEM, "no memory for the answer");
    }
}

/* The text of libcurl without its secrets: it never has any of ours, but a proxy's URL may. */
static tn_rc by_code(struct http *h, tn_err *err)
{
    const char *what = h->what[0] != '\0' ? h->what : curl_easy_strerror(h->code);
    long e = 0;
    switch ((int)h->code) {
    case CURLE_OPERATION_TIMEDOUT:
        return late_where(h, err);
    case CURLE_COULDNT_CONNECT:
        curl_easy_getinfo(h->easy, CURLINFO_OS_ERRNO, &e);
        if (err != NULL) {
            err->native = (int32_t)e;
        }
        return e == ETIMEDOUT
                   ? late_where(h, err)
                   : h->host->fail(
                         err, TN_E_UNAVAIL,
                         "TCP: cannot connect to %.200s port %u: %s; check host, port and whether the "
                         "server runs",
                         h->host_name, h->port, e != 0 ? strerror((int)e) : "refused");
    case CURLE_PEER_FAILED_VERIFICATION:
        return h->host->fail(
            err, TN_E_DENIED,
            "TLS: the certificate of %.120s is refused: certificate verify failed: %.150s; check "
            "tls_ca and the name in host",
            h->host_name, what);
    case CURLE_SSL_CONNECT_ERROR:
        return strstr(what, "alert") != NULL && strstr(what, "internal error") == NULL
                   ? h->host->fail(err, TN_E_DENIED,
                                   "TLS: %.120s refuses us: %.200s; check tls_cert and tls_key",
                                   h->host_name, what)
                   : h->host->fail(
                         err, TN_E_UNAVAIL,
                         "TLS: no handshake with %.120s: %.200s; does the server speak TLS on this port?",
                         h->host_name, what);
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return strstr(what, "alert") != NULL
                   ? h->host->fail(err, TN_E_DENIED,
                                   "TLS: %.120s refuses us: %.200s; check tls_cert and tls_key",
                                   h->host_name, what)
                   : h->host->fail(err, TN_E_UNAVAIL, "the connection to %.200s was lost: %.200s",
                                   h->host_name, what);
    default:
        return h->host->fail(err, TN_E_UNAVAIL, "no answer of %.200s: %.200s", h->host_name, what);
    }
}

tn_rc http_failed(struct http *h, int late, tn_err *err)
{
    tn_rc rc = TN_OK;
    if (atomic_load(&h->canceled)) {
        rc = h->host->fail(err, TN_E_CANCELED, "the request was told to stop");
    }
    if (rc == TN_OK && h->stop == HTTP_STOP_NONE && !late && h->connected && !h->headers_done &&
        (h->code == CURLE_OUT_OF_MEMORY || (int)h->code == 100)) { /* 100: its name since 8.6 */
        h->stop = HTTP_STOP_HEADERS;
    }
    if (rc == TN_OK && h->stop != HTTP_STOP_NONE) {
        return stopped(h, err);
    }
    if (rc == TN_OK && late) {
        rc = late_where(h, err);
    }
    for (size_t i = 0; rc == TN_OK && i < sizeof plain / sizeof *plain; i++) {
        if (plain[i].code == h->code) {
            rc = h->host->fail(err, plain[i].rc, "%s (%.120s)", plain[i].text, h->host_name);
        }
    }
    rc = rc == TN_OK ? by_code(h, err) : rc;
    if (err != NULL && !h->connected && (rc == TN_E_UNAVAIL || rc == TN_E_TIMEOUT)) {
        err->flags |= TN_ERR_RETRY; /* nothing was sent */
    }
    return rc;
}
