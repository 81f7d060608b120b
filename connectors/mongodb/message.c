/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of a server, whole and checked before libmongoc gets any of them: it believes what it reads, and a wrong length, a
 * damaged document or another kind of answer than it waits for ends the process. Compressed ones are unpacked here, so that they are checked as well. */
#include "mongodb.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define STEP  (64u << 10) /* memory grows as bytes come: a claim alone costs nothing */
#define SPARE (64u << 10) /* of a message, besides its document */

enum { REPLY = 1, QUERY = 2004, COMPRESSED = 2012, MSG = 2013 };
enum { HEAD = 16, MSG_HEAD = 21, REPLY_HEAD = 36, PACKED_HEAD = 25, LEAST_DOCUMENT = 5 };
enum { NOOP = 0, ZLIB = 2, ZSTD = 3 };

/* The first failure is the cause; what follow are its consequences. */
static tn_rc fail(struct mg_line *l, tn_rc rc, const char *text)
{
    tn_err why = TN_ERR_INIT;
    mg_host->fail(&why, rc, "%s", text);
    why.flags |= TN_ERR_CONN_BROKEN;
    if (l->c->why.rc == TN_OK) {
        l->c->why = why;
    }
    return rc;
}

static tn_rc damaged(struct mg_line *l)
{
    return fail(l, TN_E_UNAVAIL,
                "the server does not speak the protocol of MongoDB: its message is damaged");
}

static uint32_t le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> 8 * i);
    }
}

/* ---- bytes ------------------------------------------------------------------------------------------- */

/* At most cap bytes, which the bound of a reply counts. */
static tn_rc fill(struct mg_line *l, void *p, size_t cap, size_t *ret_n)
{
    struct mg_conn *c = l->c;
    tn_err why = TN_ERR_INIT;
    tn_rc rc = mg_line_read(l, p, cap, ret_n, &why);
    if (rc == TN_OK) {
        c->nread += *ret_n;
        if (c->nread > (size_t)c->inst->conf->max_result.n + sizeof l->buf) {
            c->over = true;
            rc = mg_host->fail(
                &why, TN_E_LIMIT,
                "the reply is larger than max_result (%lld bytes); ask for less at a time",
                (long long)c->inst->conf->max_result.n);
            why.flags |= TN_ERR_CONN_BROKEN;
        }
    }
    if (rc != TN_OK && c->why.rc == TN_OK) {
        c->why = why;
    }
    return rc;
}

/* So many bytes of a message are in buf. */
static tn_rc want(struct mg_line *l, uint32_t n)
{
    tn_rc rc = TN_OK;
    size_t some;
    if (l->at != 0) {
        memmove(l->buf, l->buf + l->at, l->end - l->at);
        l->end -= l->at;
        l->at = 0;
    }
    while (rc == TN_OK && l->end < n) {
        rc = fill(l, l->buf + l->end, sizeof l->buf - l->end, &some);
        l->end += rc == TN_OK ? (uint32_t)some : 0;
    }
    return rc;
}

/* A whole message of n bytes, in memory of its own. */
static tn_rc gather(struct mg_line *l, size_t n)
{
    tn_rc rc = TN_OK;
    size_t cap = 0;
    for (size_t have = 0, some; rc == TN_OK && have < n; have += some) {
        if (have == cap) {
            cap = n - cap <= cap + STEP ? n : cap * 2 + STEP;
            uint8_t *more = realloc(l->msg, cap);
            if (more == NULL) {
                return fail(l, TN_E_NOMEM, "no memory for the reply of the server");
            }
            l->msg = more;
        }
        some = cap - have;
        if (l->at < l->end) {
            some = some < l->end - l->at ? some : l->end - l->at;
            memcpy(l->msg + have, l->buf + l->at, some);
            l->at += (uint32_t)some;
        } else {
            rc = fill(l, l->msg + have, some, &some);
        }
    }
    l->msg_n = rc == TN_OK ? n : 0;
    return rc;
}

/* ---- what is in them --------------------------------------------------------------------------------- */

static bool inflated(uint8_t id, const uint8_t *p, size_t n, uint8_t *to, size_t size)
{
    uLongf got = size;
    switch (id) {
    case NOOP:
        if (n == size) {
            memcpy(to, p, n);
        }
        return n == size;
    case ZLIB:
        return uncompress(to, &got, p, n) == Z_OK && got == size;
    case ZSTD:
        return ZSTD_decompress(to, size, p, n) == size;
    default:
        return false; /* snappy is not offered */
    }
}

/* An OP_COMPRESSED becomes what it holds. */
static tn_rc unpack(struct mg_line *l)
{
    if (l->msg_n <= PACKED_HEAD) {
        return damaged(l);
    }
    uint32_t op = le32(l->msg + HEAD), size = le32(l->msg + HEAD + 4);
    if ((op != MSG && op != REPLY) || size == 0) {
        return damaged(l);
    }
    if (size > (uint64_t)l->c->inst->conf->max_result.n + SPARE || size > INT32_MAX - HEAD) {
        l->c->over = true;
        return fail(l, TN_E_LIMIT,
                    "the reply is larger than max_result when it is unpacked; ask for less at a "
                    "time");
    }
    uint8_t *plain = malloc(HEAD + (size_t)size);
    if (plain == NULL) {
        return fail(l, TN_E_NOMEM, "no memory for the reply of the server");
    }
    if (!inflated(l->msg[PACKED_HEAD - 1], l->msg + PACKED_HEAD, l->msg_n - PACKED_HEAD,
                  plain + HEAD, size)) {
        free(plain);
        return damaged(l);
    }
    memcpy(plain, l->msg, HEAD);
    put32(plain, HEAD + size);
    put32(plain + HEAD - 4, op);
    free(l->msg);
    l->msg = plain;
    l->msg_n = HEAD + (size_t)size;
    return TN_OK;
}

void mg_message_sent(struct mg_line *l, const uint8_t *p, size_t n)
{
    while (n != 0) {
        size_t some = l->asked_n < HEAD ? HEAD - l->asked_n : l->asked_left;
        some = some < n ? some : n;
        if (l->asked_n < HEAD) {
            memcpy(l->asked + l->asked_n, p, some);
            l->asked_n += (uint32_t)some;
            l->asked_left = l->asked_n == HEAD ? le32(l->asked) - HEAD : 0;
        } else {
            l->asked_left -= (uint32_t)some;
        }
        if (l->asked_n == HEAD && l->asked_left == 0) {
            l->asked_n = 0; /* whole; its operation is still there */
        }
        p += some;
        n -= some;
    }
}

/* An OP_MSG with one document, or to an OP_QUERY an OP_REPLY with one, and the document is sound. That it is too deep is told later. */
static tn_rc judge(struct mg_line *l)
{
    const uint8_t *p = l->msg;
    const char *why = NULL;
    bson_t doc;
    bool msg = le32(p + HEAD - 4) == MSG;
    size_t head = msg ? MSG_HEAD : REPLY_HEAD;
    if (msg == (le32(l->asked + HEAD - 4) == QUERY) || l->msg_n < head + LEAST_DOCUMENT ||
        (msg ? le32(p + HEAD) != 0 || p[MSG_HEAD - 1] != 0 : le32(p + REPLY_HEAD - 4) != 1)) {
        return damaged(l);
    }
    if (!bson_init_static(&doc, p + head, l->msg_n - head) ||
        (!mg_sound(&doc, &why) && why != mg_too_deep)) {
        return damaged(l);
    }
    return TN_OK;
}

tn_rc mg_message(struct mg_line *l)
{
    mg_message_drop(l);
    tn_rc rc = want(l, HEAD);
    if (rc != TN_OK) {
        return rc;
    }
    uint32_t n = le32(l->buf), op = le32(l->buf + HEAD - 4);
    if (n > INT32_MAX || n < HEAD + LEAST_DOCUMENT ||
        (op != REPLY && op != COMPRESSED && op != MSG)) {
        return damaged(l);
    }
    rc = gather(l, n);
    rc = rc == TN_OK && op == COMPRESSED ? unpack(l) : rc;
    rc = rc == TN_OK ? judge(l) : rc;
    if (rc != TN_OK) {
        mg_message_drop(l);
    }
    return rc;
}

void mg_message_drop(struct mg_line *l)
{
    free(l->msg);
    l->msg = NULL;
    l->msg_n = l->msg_at = 0;
}
