/* SPDX-License-Identifier: Apache-2.0 */
/* The text protocol of memcached (protocol.txt of its sources): requests into a buffer, replies as lines and blocks
 * of a bounded size. A reply that ends early or is none breaks the connection, so nobody reads another one's reply. */
#include "memcached.h"

#include <stdlib.h>

#define LINE_MAX_BYTES 8192
#define READ_BYTES     16384

/* ---- talking ----------------------------------------------------------------------------------------- */

tn_rc mc_broken(tn_rc rc, tn_err *err)
{
    if (err != NULL) {
        err->flags |= TN_ERR_CONN_BROKEN;
    }
    return rc;
}

tn_rc mc_send(struct mc_node *node, const struct message_buf *b, uint64_t deadline_ns, tn_err *err)
{
    if (b->failed) {
        return mc_host->fail(err, TN_E_NOMEM, "no memory for the request");
    }
    return stream_write(&node->stream, b->s, b->n, deadline_ns, err);
}

/* Room for `more` bytes behind n; what was used is dropped. */
static bool room(struct mc_node *node, size_t more)
{
    if (node->at != 0) {
        memmove(node->in, node->in + node->at, node->n - node->at);
        node->n -= node->at;
        node->at = 0;
    }
    if (node->n + more > node->cap) {
        size_t cap = node->n + more;
        char *in = realloc(node->in, cap);
        if (in == NULL) {
            return false;
        }
        node->in = in;
        node->cap = cap;
    }
    return true;
}

/* At least one byte more; `want` are still missing. */
static tn_rc fill(struct mc_node *node, size_t want, uint64_t deadline_ns, tn_err *err)
{
    size_t got = 0, more = want < READ_BYTES ? READ_BYTES : want;
    if (more > node->n * 2 + READ_BYTES) {
        more = node->n * 2 + READ_BYTES; /* what a server announces is believed as it comes */
    }
    if (!room(node, more)) {
        return mc_broken(mc_host->fail(err, TN_E_NOMEM, "no memory for the reply"), err);
    }
    tn_rc rc = stream_read(&node->stream, node->in + node->n, node->cap - node->n, deadline_ns,
                           &got, err);
    node->n += rc == TN_OK ? got : 0;
    return rc;
}

tn_rc mc_line(struct mc_node *node, uint64_t deadline_ns, tn_str *ret, tn_err *err)
{
    size_t seen = 0;
    for (;;) {
        size_t have = node->n - node->at;
        const char *end = have > seen ? memchr(node->in + node->at + seen, '\n', have - seen)
                                      : NULL;
        if (end != NULL) {
            const char *start = node->in + node->at;
            size_t n = (size_t)(end - start);
            node->at += n + 1;
            *ret = (tn_str){start, n > 0 && start[n - 1] == '\r' ? n - 1 : n};
            return TN_OK;
        }
        seen = have;
        if (have > LINE_MAX_BYTES) {
            return mc_broken(mc_host->fail(err, TN_E_UNAVAIL,
                                           "the server does not speak the protocol of memcached: a "
                                           "line of more than %d bytes",
                                           LINE_MAX_BYTES),
                             err);
        }
        tn_rc rc = fill(node, 1, deadline_ns, err);
        if (rc != TN_OK) {
            return rc;
        }
    }
}

tn_rc mc_block(struct mc_node *node, size_t n, uint64_t deadline_ns, const char **ret, tn_err *err)
{
    if (n > node->max) {
        return mc_broken(mc_host->fail(err, TN_E_LIMIT,
                                       "the value has %zu bytes, more than max_result (%zu); raise "
                                       "max_result to read it",
                                       n, node->max),
                         err);
    }
    while (node->n - node->at < n + 2) {
        tn_rc rc = fill(node, n + 2 - (node->n - node->at), deadline_ns, err);
        if (rc != TN_OK) {
            return rc;
        }
    }
    const char *s = node->in + node->at;
    if (s[n] != '\r' || s[n + 1] != '\n') {
        return mc_broken(
            mc_host->fail(err, TN_E_UNAVAIL,
                          "the server does not speak the protocol of memcached: a value does not "
                          "end where it should"),
            err);
    }
    node->at += n + 2;
    *ret = s;
    return TN_OK;
}

/* ---- lines ------------------------------------------------------------------------------------------- */

/* The next word of a line; empty at its end. */
static tn_str next_word(tn_str *line)
{
    while (line->n > 0 && line->s[0] == ' ') {
        line->s++;
        line->n--;
    }
    tn_str w = {line->s, 0};
    while (w.n < line->n && line->s[w.n] != ' ') {
        w.n++;
    }
    line->s += w.n;
    line->n -= w.n;
    return w;
}

static bool digits(tn_str w, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < w.n; i++) {
        unsigned d = (unsigned)(unsigned char)w.s[i] - '0';
        if (d > 9 || v > (max - d) / 10) {
            return false;
        }
        v = v * 10 + d;
    }
    *ret = v;
    return w.n != 0;
}

bool mc_head(tn_str line, struct mc_head *ret)
{
    uint64_t flags, bytes, token = 0;
    if (!mc_begins(line, "VALUE ")) {
        return false;
    }
    next_word(&line);
    tn_str key = next_word(&line);
    if (key.n == 0 || !digits(next_word(&line), UINT32_MAX, &flags) ||
        !digits(next_word(&line), SIZE_MAX / 2, &bytes)) {
        return false;
    }
    tn_str last = next_word(&line);
    if (last.n != 0 && !digits(last, UINT64_MAX, &token)) {
        return false;
    }
    *ret = (struct mc_head){key, (uint32_t)flags, (size_t)bytes, token};
    return true;
}

/* By how the line begins. After ERROR and most of CLIENT_ERROR nobody knows what the server takes for a command. */
static const struct {
    const char *begins;
    tn_rc rc;
    bool broken;
    const char *says;
} classes[] = {
    {"CLIENT_ERROR unauthenticated", TN_E_DENIED, true, "; configure user and password"},
    {"CLIENT_ERROR cannot increment", TN_E_REMOTE, false, ""},
    {"CLIENT_ERROR invalid numeric delta", TN_E_INVAL, false, ""},
    {"CLIENT_ERROR", TN_E_REMOTE, true, ""},
    {"SERVER_ERROR object too large", TN_E_LIMIT, false,
     "; a server keeps up to 1 MB unless its -I says more"},
    {"SERVER_ERROR out of memory", TN_E_LIMIT, false, ""},
    {"SERVER_ERROR", TN_E_REMOTE, false, ""},
    {"ERROR", TN_E_UNSUPP, true, ": the server does not know this command"},
};

tn_rc mc_unexpected(tn_str line, tn_err *err)
{
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (mc_begins(line, classes[i].begins)) {
            tn_rc rc = mc_host->fail(err, classes[i].rc, "%.*s%s",
                                     (int)(line.n < 200 ? line.n : 200), line.s, classes[i].says);
            return classes[i].broken ? mc_broken(rc, err) : rc;
        }
    }
    return mc_broken(
        mc_host->fail(err, TN_E_UNAVAIL,
                      "the server does not speak the protocol of memcached: it answers `%.*s`",
                      (int)(line.n < 60 ? line.n : 60), line.s),
        err);
}
