/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile ClickHouse server may say. Input: a byte that chooses what is asked, a byte for the size of the pieces in
 * which the answer comes, a byte for the revision and the compression, then the answer; or a type, a number, rows behind
 * VALUES. Every read is inside what came, memory is bounded, and how an answer is cut must not matter. */
#include "connectors/clickhouse/clickhouse.h"
#include "connectors/clickhouse/frame.h"
#include "tests/fuzz/sink.h"
#include "tests/fuzz/wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
const tn_plugin *tn_plugin_v1(void);

#define MAX_RESULT (256u << 10)

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
    if (*ret_n == 0 && err != NULL) {
        err->flags |= TN_ERR_CONN_BROKEN;
    }
    return *ret_n != 0 ? TN_OK : TN_E_UNAVAIL;
}

/* ---- one conversation -------------------------------------------------------------------------------- */

#define TEXT(z)                                                                                    \
    {                                                                                              \
        .type = TN_T_STR, .n = sizeof(z) - 1, .u.s = (z)                                           \
    }
static const tn_val numbers[] = {{.type = TN_T_INT, .u.i = 5}, {.type = TN_T_INT, .u.i = -1}},
                    row1[] = {{.type = TN_T_INT, .u.i = 1}, TEXT("a")},
                    row2[] = {{.type = TN_T_NULL}, {.type = TN_T_LIST, .n = 2, .u.list = numbers}},
                    rows[] = {{.type = TN_T_LIST, .n = 2, .u.list = row1},
                              {.type = TN_T_LIST, .n = 2, .u.list = row2}};
static const struct {
    uint32_t method;
    tn_val a[2];
    uint32_t n;
} calls[] = {
    {CH_QUERY, {TEXT("SELECT 1")}, 1},
    {CH_EXECUTE, {TEXT("SELECT ?, ?"), {.type = TN_T_LIST, .n = 2, .u.list = row1}}, 2},
    {CH_NON_QUERY, {TEXT("INSERT INTO t VALUES (1, 'a'), (NULL, [5, -1])")}, 1},
    {CH_INSERT, {TEXT("t"), {.type = TN_T_LIST, .n = 2, .u.list = rows}}, 2},
    {CH_CHECK, {{.type = TN_T_NULL}}, 0},
    {CH_STREAM_START, {TEXT("SELECT 1")}, 1},
};
enum { CALLS = sizeof calls / sizeof *calls, HELLO = CALLS, FRAME, PARSERS, KINDS };

static const uint32_t revisions[] = {54060, 54406, 54412, 54447, 54459};
static const char *const compressions[] = {"off", "lz4", "zstd", "off"};

/* A server's hello of this revision. */
static void put_hello(struct ch_out *out, uint32_t rev)
{
    ch_putv(out, CH_P_HELLO);
    ch_putz(out, "ClickHouse");
    ch_putv(out, 22);
    ch_putv(out, 3);
    ch_putv(out, rev);
    ch_putz(out, "Asia/Shanghai");
    if (rev >= CH_REV_DISPLAY_NAME) {
        ch_putz(out, "name");
    }
    if (rev >= CH_REV_PATCH) {
        ch_putv(out, 1);
    }
}

/* A block in one frame, whose sum is right: method, bytes that it unpacks to, data; then the end. */
static void put_frame(struct ch_out *out, const uint8_t *data, size_t n)
{
    uint8_t *frame = malloc(n + 4);
    uint64_t sum[2];
    uint32_t packed = (uint32_t)n + 4;
    if (frame == NULL || n < 5) {
        free(frame);
        return;
    }
    frame[0] = data[0];
    memcpy(frame + 1, &packed, 4);
    memcpy(frame + 5, data + 1, n - 1);
    ch_city128(frame, packed, sum);
    ch_putv(out, CH_P_DATA);
    ch_putz(out, "");
    ch_put(out, sum, sizeof sum);
    ch_put(out, frame, packed);
    ch_putv(out, CH_P_END);
    free(frame);
}

static void call(const tn_connector_ops *ops, struct ch *inst, void *conn, uint32_t method,
                 const tn_args *args)
{
    tn_err err = TN_ERR_INIT;
    tn_result result = {NULL, 0, 0};
    tn_sink sink = {.ops = &sink_ops};
    tn_rc rc = ops->invoke(inst, conn, method, args, 0, &result, &err);
    if (rc == TN_OK) {
        rc = ops->emit(inst, &result, &sink, &err);
        ops->result_free(inst, &result);
    }
    mix(&rc, sizeof rc);
    mix(err.msg, strlen(err.msg));
}

static uint64_t converse(const uint8_t *data, size_t n, size_t piece, unsigned kind)
{
    const struct ch_conf conf = {.host = "a",
                                 .user = "u",
                                 .database = "d",
                                 .application = "t",
                                 .port = 1,
                                 .revision = 54459,
                                 .tls = "off",
                                 .compression = kind == FRAME ? "lz4" : compressions[data[2] / 64],
                                 .max_result = {MAX_RESULT}};
    const tn_plugin *plugin = tn_plugin_v1();
    const tn_connector_ops *ops = plugin->ops;
    struct ch inst = {.conf = NULL};
    struct ch_out out = {.p = NULL};
    size_t which = kind < CALLS ? kind : 0;
    void *conn = NULL;
    tn_err err = TN_ERR_INIT;
    if (kind != HELLO) {
        put_hello(&out, revisions[data[2] % (sizeof revisions / sizeof *revisions)]);
    }
    if (kind == FRAME) {
        put_frame(&out, data + 3, n - 3);
    } else {
        ch_put(&out, data + 3, n - 3);
    }
    wire.s = out.p;
    wire.n = out.n;
    wire.piece = piece;
    told.hash = 0;
    if (out.failed || plugin->attach(&inst, &conf, &err) != TN_OK) {
        abort();
    }
    tn_rc rc = ops->open(&inst, 0, &conn, &err);
    mix(&rc, sizeof rc);
    if (rc == TN_OK) {
        const tn_args args = {.pos = calls[which].a, .npos = calls[which].n};
        call(ops, &inst, conn, calls[which].method, &args);
        for (int i = 0; calls[which].method == CH_STREAM_START && i < 200; i++) {
            const tn_args few = {.pos = numbers, .npos = 1};
            told.rows = 0;
            call(ops, &inst, conn, CH_STREAM_NEXT, &few);
            if (told.rows == 0) {
                break;
            }
        }
        rc = ops->reset(&inst, conn, &err);
        mix(&rc, sizeof rc);
        ops->close(&inst, conn, TN_CLOSE_BROKEN);
    }
    plugin->detach(&inst);
    ch_out_finish(&out);
    return told.hash;
}

/* ---- parsers that need no server --------------------------------------------------------------------- */

static void parse(const uint8_t *data, size_t n)
{
    struct ch_mem m = {.max = 1u << 22};
    struct ch_type *t = NULL;
    tn_val list = {.type = TN_T_NULL};
    tn_err err = TN_ERR_INIT;
    const char *text = (const char *)data + 3;
    uint32_t width = 1u << data[1] % 6, scale = data[2] % 77;
    uint8_t number[32], again[32];
    char digits[CH_NUMBER_TEXT];
    tn_str s = {text, n - 3};
    if (ch_type_parse(ch_host, &m, s.s, s.n, &t, &err) == TN_OK && t->kind == 0) {
        abort();
    }
    if (ch_values_parse(ch_host, &m, s, &list, &err) == TN_OK && list.type != TN_T_LIST) {
        abort();
    }
    if (ch_values_at(s) > s.n) {
        abort();
    }
    if (ch_number_parse(s.s, s.n, width, true, scale, number)) {
        size_t k = ch_number_text(number, width, true, scale, digits);
        if (k > sizeof digits || !ch_number_parse(digits, k, width, true, scale, again) ||
            memcmp(number, again, width) != 0) {
            abort(); /* what is told must be what was read */
        }
    }
    ch_mem_finish(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const tn_host host = {.size = sizeof host, .fail = err_set, .now_ns = now_ns};
    if (n < 4 || n > 300000) {
        return 0;
    }
    unsigned kind = data[0] % KINDS;
    tn_plugin_v1()->load(&host, NULL);
    if (kind == PARSERS) {
        parse(data, n);
    } else if (converse(data, n, SIZE_MAX, kind) != converse(data, n, (size_t)data[1] + 1, kind)) {
        abort(); /* how an answer is cut must not matter */
    }
    return 0;
}
