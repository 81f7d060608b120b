/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile server may say to the memcached connector. Input: a byte that chooses the method, a byte for the size of
 * the pieces in which the reply comes, the reply. Every read is inside what came, memory is bounded, and how the reply is
 * cut must not matter. */
#include "connectors/memcached/memcached.h"
#include "kernel/value/json.h"
#include "tests/fuzz/sink.h"
#include "tests/fuzz/wire.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
const tn_plugin *tn_plugin_v1(void);

#define MAX_RESULT 65536

/* ---- the server -------------------------------------------------------------------------------------- */

tn_rc stream_write(struct stream *s, const void *p, size_t n, uint64_t deadline_ns, tn_err *err)
{
    (void)s, (void)p, (void)n, (void)deadline_ns, (void)err;
    return TN_OK;
}

tn_rc stream_read(struct stream *s, void *p, size_t cap, uint64_t deadline_ns, size_t *ret_n,
                  tn_err *err)
{
    static const char hello[] = "VERSION 1\r\n";
    (void)deadline_ns;
    if (s->slice_ms == 0) { /* the first answer of a connection */
        s->slice_ms = 1;
        memcpy(p, hello, sizeof hello - 1);
        *ret_n = sizeof hello - 1;
        return TN_OK;
    }
    *ret_n = wire_take(p, cap);
    if (*ret_n == 0 && err != NULL) {
        err->flags |= TN_ERR_CONN_BROKEN;
    }
    return *ret_n != 0 ? TN_OK : TN_E_UNAVAIL;
}

/* ---- the host ---------------------------------------------------------------------------------------- */

/* ---- one call ---------------------------------------------------------------------------------------- */

#define TEXT(z)                                                                                    \
    {                                                                                              \
        .type = TN_T_STR, .n = sizeof(z) - 1, .u.s = (z)                                           \
    }
static const tn_val keys[] = {TEXT("k"), TEXT("key2"), TEXT("k3")};
static const struct {
    const char *method;
    tn_val a[3];
    uint32_t n;
} calls[] = {
    {"get", {TEXT("k")}, 1},
    {"gets", {TEXT("k")}, 1},
    {"get_multi", {{.type = TN_T_LIST, .n = 3, .u.list = keys}}, 1},
    {"set", {TEXT("k"), TEXT("value")}, 2},
    {"incr", {TEXT("k")}, 1},
    {"delete_multi", {{.type = TN_T_LIST, .n = 3, .u.list = keys}}, 1},
    {"stats", {{.type = TN_T_NULL}}, 0},
    {"meta", {TEXT("mg"), TEXT("k")}, 2},
    {"gat", {TEXT("k"), {.type = TN_T_INT, .u.i = 5}}, 2},
    {"cas", {TEXT("k"), TEXT("v"), TEXT("18446744073709551615")}, 3},
};

static uint64_t play(const uint8_t *data, size_t n, size_t piece)
{
    static const struct mc_conf conf = {.servers = "a",
                                        .distribution = "modulo",
                                        .tls = "off",
                                        .connect_timeout = {1000},
                                        .max_result = {MAX_RESULT}};
    const tn_plugin *plugin = tn_plugin_v1();
    const tn_connector_ops *ops = plugin->ops;
    struct mc inst = {.conf = NULL};
    size_t which = data[0] % (sizeof calls / sizeof *calls);
    void *conn = NULL;
    tn_err err = TN_ERR_INIT;
    uint32_t method = 0;
    for (const tn_method *m = ops->methods; m->name != NULL; m++) {
        method = strcmp(m->name, calls[which].method) == 0 ? m->id : method;
    }
    wire.s = data + 2;
    wire.n = n - 2;
    wire.piece = piece;
    told.hash = 0;
    if (plugin->attach(&inst, &conf, &err) != TN_OK || ops->open(&inst, 0, &conn, &err) != TN_OK) {
        abort();
    }
    const tn_args args = {.pos = calls[which].a, .npos = calls[which].n};
    tn_result result = {NULL, 0, 0};
    tn_rc rc = ops->invoke(&inst, conn, method, &args, 0, &result, &err);
    tn_sink sink = {.ops = &sink_ops};
    if (rc == TN_OK) {
        ops->emit(&inst, &result, &sink, &err);
        ops->result_free(&inst, &result);
    } else {
        mix(&rc, sizeof rc);
    }
    ops->close(&inst, conn, TN_CLOSE_BROKEN);
    plugin->detach(&inst);
    return told.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const tn_host host = {
        .size = sizeof host, .fail = err_set, .now_ns = now_ns, .json = &json_host_ops};
    if (n < 3 || n > 300000) {
        return 0;
    }
    tn_plugin_v1()->load(&host, NULL);
    if (play(data, n, SIZE_MAX) != play(data, n, (size_t)data[1] + 1)) {
        abort(); /* how a reply is cut must not matter */
    }
    return 0;
}
