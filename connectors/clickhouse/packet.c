/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of the server, and the end of a statement that takes too long. */
#include "clickhouse.h"

#include "frame.h"

#include <stdio.h>
#include <string.h>

#define STOP_NS                                                                                    \
    300000000ull /* the server's chance to confirm a cancel; calls end one second later */
#define TURN_NS  100000000ull /* how long a cancel may go unheard */
#define TEXT_MAX (1u << 20)   /* of an error */

/* ---- sending ----------------------------------------------------------------------------------------- */

tn_rc ch_broken(tn_rc rc, tn_err *err)
{
    if (err != NULL) {
        err->flags |= TN_ERR_CONN_BROKEN;
    }
    return rc;
}

void ch_begin(struct ch_conn *c, uint64_t deadline_ns)
{
    c->deadline_ns = deadline_ns;
    c->stopping = TN_OK;
    c->refused = false;
    atomic_store(&c->listening, false);
    c->out.n = 0;
    c->stat = (struct ch_stat){0};
}

tn_rc ch_send(struct ch_conn *c, tn_err *err)
{
    atomic_store(&c->listening, false);
    if (c->out.failed) {
        c->out.failed = false;
        c->out.n = 0;
        return ch_broken(ch_host->fail(err, TN_E_NOMEM, "no memory for the request"), err);
    }
    if (c->fresh && stream_stale(&c->stream)) {
        tn_rc rc = ch_host->fail(err, TN_E_UNAVAIL,
                                 "the server closed the connection while it was idle");
        if (err != NULL) {
            err->flags |= TN_ERR_CONN_BROKEN | TN_ERR_RETRY;
        }
        return rc;
    }
    c->fresh = false;
    tn_rc rc = stream_write(&c->stream, c->out.p, c->out.n, c->deadline_ns, err);
    c->out.n = 0;
    if (c->out.cap > 1u << 20) { /* a large request is not remembered for ever */
        ch_out_finish(&c->out);
    }
    return rc;
}

void ch_put_block(struct ch_conn *c, const struct ch_out *block)
{
    ch_putv(&c->out, 2);  /* Data */
    ch_putz(&c->out, ""); /* of no table */
    if (c->method == 0) {
        ch_put(&c->out, block->p, block->n);
    } else if (ch_frame_write(&c->out, c->method, block->p, block->n) != TN_OK) {
        c->out.failed = true;
    }
    c->out.failed |= block->failed;
}

void ch_put_empty_block(struct ch_conn *c)
{
    static const uint8_t empty[] = {1,    0,    2, 0xff, 0xff,
                                    0xff, 0xff, 0, 0,    0}; /* info, no columns, no rows */
    const struct ch_out block = {.p = (uint8_t *)empty, .n = sizeof empty};
    ch_put_block(c, &block);
}

void ch_stop(struct ch_conn *c, tn_rc why)
{
    static const uint8_t cancel[] = {3};
    uint64_t soon = ch_host->now_ns() + STOP_NS;
    c->stopping = why;
    c->deadline_ns = soon;
    stream_write(&c->stream, cancel, sizeof cancel, soon, NULL);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

tn_rc ch_more(struct ch_in *in, tn_err *err)
{
    struct ch_conn *c = in->self;
    size_t n = 0;
    for (;;) {
        tn_err e = TN_ERR_INIT;
        bool stoppable = c->running && c->stopping == TN_OK;
        uint64_t turn = stoppable ? ch_host->now_ns() + TURN_NS : UINT64_MAX;
        bool turns = stoppable && (c->deadline_ns == 0 || turn < c->deadline_ns);
        atomic_store(&c->listening, stoppable);
        if (stoppable && atomic_load(&c->canceled)) {
            ch_stop(c, TN_E_CANCELED);
            continue;
        }
        tn_rc rc = stream_read(&c->stream, in->buf, in->cap, turns ? turn : c->deadline_ns, &n, &e);
        if (rc == TN_OK) {
            in->n = n;
            return TN_OK;
        }
        if (rc == TN_E_TIMEOUT && turns) {
            continue;
        }
        if (rc != TN_E_TIMEOUT || !stoppable) {
            if (err != NULL) {
                *err = e;
            }
            return rc;
        }
        ch_stop(c, TN_E_TIMEOUT);
    }
}

tn_rc ch_more_body(struct ch_in *in, tn_err *err)
{
    struct ch_conn *c = in->self;
    c->raw.err = err;
    return ch_frame_read(&c->raw, in);
}

/* By the server's code (src/Common/ErrorCodes.cpp). */
static const struct {
    int32_t code;
    tn_rc rc;
    const char *hint;
} classes[] = {
    {192, TN_E_DENIED, ""}, /* unknown user */
    {193, TN_E_DENIED, ""}, /* wrong password */
    {194, TN_E_DENIED, "; configure password"},
    {195, TN_E_DENIED, ""}, /* address not allowed */
    {516, TN_E_DENIED, ""}, /* authentication failed */
    {497, TN_E_DENIED, ""}, /* access */
    {291, TN_E_DENIED, ""}, /* access to a database */
    {164, TN_E_DENIED, ""}, /* read only */
    {159, TN_E_TIMEOUT, ""},
    {160, TN_E_TIMEOUT, ""}, /* too slow */
    {158, TN_E_LIMIT, ""},   /* rows */
    {307, TN_E_LIMIT, ""},   /* bytes */
    {396, TN_E_LIMIT, ""},   /* rows or bytes of the result */
    {241, TN_E_LIMIT, ""},   /* memory */
    {202, TN_E_LIMIT, ""},   /* simultaneous queries */
    {201, TN_E_LIMIT, ""},   /* quota */
    {252, TN_E_LIMIT, ""},   /* parts */
    {394, TN_E_CANCELED, ""},
    {57, TN_E_CONFLICT, ""}, /* table exists */
    {82, TN_E_CONFLICT, ""}, /* database exists */
};

/* One exception, perhaps with others in it; the first one is told. */
static tn_rc exception(struct ch_conn *c, tn_err *err)
{
    struct ch_in *in = &c->raw;
    char name[64] = "", text[416] = "", skip[8];
    int32_t code = 0;
    for (int depth = 0; depth < 64 && in->rc == TN_OK; depth++) {
        int32_t one = (int32_t)ch_get32(in);
        ch_get_short(in, depth == 0 ? name : skip, depth == 0 ? sizeof name : sizeof skip, TEXT_MAX,
                     "the name of an error");
        ch_get_short(in, depth == 0 ? text : skip, depth == 0 ? sizeof text : sizeof skip, TEXT_MAX,
                     "the text of an error");
        ch_get_short(in, skip, sizeof skip, TEXT_MAX, "the stack of an error");
        code = depth == 0 ? one : code;
        if (ch_get8(in) == 0) {
            break;
        }
    }
    if (in->rc != TN_OK) {
        return in->rc;
    }
    char *stack = strstr(text, "Stack trace:"), *said = text;
    if (stack != NULL) {
        *stack = '\0';
    }
    size_t n = strlen(name);
    if (n != 0 && strncmp(text, name, n) == 0 &&
        text[n] == ':') { /* "DB::Exception: …" stands there as well */
        said += n + 1 + (text[n + 1] == ' ');
    }
    for (n = strlen(said);
         n != 0 && (said[n - 1] == ' ' || said[n - 1] == ',' || said[n - 1] == '\n' ||
                    (n > 1 && said[n - 1] == '.' && said[n - 2] == '.'));
         n--) {
        said[n - 1] = '\0';
    }
    tn_rc rc = TN_E_REMOTE;
    const char *hint = "";
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (classes[i].code == code) {
            rc = classes[i].rc;
            hint = classes[i].hint;
        }
    }
    ch_host->fail(err, rc, "Code: %d. %s: %s%s", code, name, said, hint);
    if (err != NULL) {
        err->native = code;
    }
    return rc;
}

static void progress(struct ch_conn *c)
{
    struct ch_in *in = &c->raw;
    c->stat.read_rows += ch_getv(in);
    c->stat.read_bytes += ch_getv(in);
    c->stat.total_rows += ch_getv(in);
    if (c->rev >= CH_REV_WRITTEN) {
        c->stat.written_rows += ch_getv(in);
        c->stat.written_bytes += ch_getv(in);
    }
}

static void profile(struct ch_conn *c)
{
    struct ch_in *in = &c->raw;
    ch_getv(in);
    ch_getv(in);
    ch_getv(in);
    ch_get8(in);
    c->stat.rows_before_limit = ch_getv(in);
    c->stat.has_rows_before_limit = ch_get8(in) != 0;
}

static tn_rc block(struct ch_conn *c, bool packed, size_t max, struct ch_block *ret, tn_err *err)
{
    struct ch_in *from = packed && c->method != 0 ? &c->body : &c->raw;
    char table[8];
    ch_get_short(&c->raw, table, sizeof table, CH_NAME_MAX, "the name of a table");
    if (c->raw.rc != TN_OK) {
        return c->raw.rc;
    }
    from->err = err;
    return ch_block_read(from, c->rev, max, ret);
}

static tn_rc read_body(struct ch_conn *c, uint32_t type, size_t max, struct ch_block *ret,
                       tn_err *err)
{
    struct ch_in *in = &c->raw;
    struct ch_block dropped = {.ncols = 0};
    char skip[8];
    tn_rc rc = TN_OK;
    switch (type) {
    case CH_P_DATA:
    case CH_P_TOTALS:
    case CH_P_EXTREMES:
        return block(c, true, max, ret, err);
    case CH_P_LOG:
    case CH_P_EVENTS:
        rc = block(c, false, max, &dropped, err);
        ch_block_finish(&dropped);
        return rc;
    case CH_P_PROGRESS:
        progress(c);
        return in->rc;
    case CH_P_PROFILE:
        profile(c);
        return in->rc;
    case CH_P_COLUMNS:
        ch_get_short(in, skip, sizeof skip, CH_NAME_MAX, "the name of a table");
        ch_get_short(in, skip, sizeof skip, 1u << 26, "the columns of a table");
        return in->rc;
    case CH_P_PONG:
    case CH_P_END:
        return in->rc;
    default:
        return ch_in_fail(
            in, TN_E_UNAVAIL,
            "the server does not speak ClickHouse's native protocol: a packet of type %u", type);
    }
}

tn_rc ch_packet(struct ch_conn *c, size_t max, uint32_t *ret_type, struct ch_block *ret_block,
                tn_err *err)
{
    struct ch_in *in = &c->raw;
    in->err = err;
    uint64_t type = ch_getv(in);
    if (in->rc == TN_OK && type == CH_P_EXCEPTION) {
        tn_rc rc = exception(c, err);
        if (in->rc == TN_OK) {
            *ret_type = CH_P_EXCEPTION;
            c->running = false;
            c->refused = true;
            return rc;
        }
    }
    tn_rc rc = in->rc != TN_OK
                   ? in->rc
                   : read_body(c, type < 256 ? (uint32_t)type : 256, max, ret_block, err);
    if (rc != TN_OK) {
        in->rc = in->rc != TN_OK ? in->rc : rc; /* nobody knows where the next packet begins */
        return ch_broken(rc, err);
    }
    *ret_type = (uint32_t)type;
    c->running = c->running && type != CH_P_END;
    return TN_OK;
}
