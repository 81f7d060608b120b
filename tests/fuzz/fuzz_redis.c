/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile server may say to the Redis connector, in each of its methods. Input: a byte that chooses the method, a byte for the size
 * of the pieces in which the replies come, the replies. Every read is inside what came, memory is bounded, and how the replies are cut
 * must not matter. */
#include "connectors/redis/redis.h"
#include "kernel/value/json.h"
#include "tests/fuzz/sink.h"
#include "tests/fuzz/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
const tn_plugin *tn_plugin_v1(void);

#define MAX_RESULT 65536
#define ARGS       12

/* ---- the server -------------------------------------------------------------------------------------- */

tn_rc stream_write(struct stream *s, const void *p, size_t n, uint64_t deadline_ns, tn_err *err)
{
    (void)s, (void)p, (void)n, (void)deadline_ns, (void)err;
    return TN_OK;
}

tn_rc stream_read(struct stream *s, void *p, size_t cap, uint64_t deadline_ns, size_t *ret_n,
                  tn_err *err)
{
    /* to the steps of a sign-in that are always sent: the name of the connection, HELLO */
    static const char hello[] = "+OK\r\n*2\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n";
    (void)deadline_ns;
    if (s->slice_ms == 0) {
        s->slice_ms = 1;
        memcpy(p, hello, sizeof hello - 1);
        *ret_n = sizeof hello - 1;
        return TN_OK;
    }
    *ret_n = wire_take(p, cap);
    return *ret_n != 0 ? TN_OK : err_set(err, TN_E_UNAVAIL, "the server closed the connection");
}

/* ---- arguments that fit ------------------------------------------------------------------------------ */

#define TEXT(z)                                                                                    \
    {                                                                                              \
        .type = TN_T_STR, .n = sizeof(z) - 1, .u.s = (z)                                           \
    }
static const tn_val words[] = {TEXT("GET"), TEXT("k")}, more[] = {TEXT("HGETALL"), TEXT("k")};
static const tn_val commands[] = {{.type = TN_T_LIST, .n = 2, .u.list = words},
                                  {.type = TN_T_LIST, .n = 2, .u.list = more}};
static const tn_val keys[] = {TEXT("a"), TEXT("b"), TEXT("c")};
static const tn_pair pairs[] = {{TEXT("a"), {.type = TN_T_FLOAT, .u.f = 1.5}},
                                {TEXT("b"), {.type = TN_T_INT, .u.i = 2}}};

static bool among(const char *name, size_t n, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strlen(*names) == n && memcmp(*names, name, n) == 0) {
            return true;
        }
    }
    return false;
}

/* By the names in the table of methods; `fill` gives what has a default, too. */
static uint32_t arguments(const char *table, bool fill, tn_val ret[ARGS])
{
    static const char *const lists[] = {"keys", "fields", NULL};
    static const char *const dicts[] = {"key_values", "field_values", "value_scores",
                                        "member_scores", NULL};
    static const tn_val text = TEXT("hgetall"), list = {.type = TN_T_LIST, .n = 3, .u.list = keys},
                        dict = {.type = TN_T_MAP, .n = 2, .u.map = pairs},
                        command = {.type = TN_T_LIST, .n = 2, .u.list = commands},
                        number = {.type = TN_T_INT, .u.i = 3}, yes = {.type = TN_T_BOOL, .u.i = 1};
    static const char *const commanding[] = {"commands", NULL};
    uint32_t count = 0;
    for (const char *p = table; *p != '\0' && count < ARGS;) {
        size_t n = strcspn(p, ","), name = strcspn(p, ":=,");
        const char *eq = memchr(p, '=', n);
        if (*p == '*' || (eq != NULL && !fill)) {
            break;
        }
        ret[count++] = among(p, name, lists)                     ? list
                       : among(p, name, dicts)                   ? dict
                       : among(p, name, commanding)              ? command
                       : eq != NULL && strncmp(eq, "=F", 2) == 0 ? yes
                       : memmem(p, n, ":int", 4) != NULL ||
                               (eq != NULL && strncmp(eq, "=None", 5) == 0)
                           ? number
                           : text;
        p += n;
        p += strspn(p, ", ");
    }
    return count;
}

static int64_t wall_us(void)
{
    return 1700000000000000;
}

/* ---- one call ---------------------------------------------------------------------------------------- */

static uint64_t play(const uint8_t *data, size_t n, size_t piece)
{
    static const struct rd_conf conf = {.host = "a",
                                        .port = 1,
                                        .user = "",
                                        .auth_type = "",
                                        .application = "fuzz",
                                        .tls = "off",
                                        .ts_min_interval = 60,
                                        .ts_max_age = 3600,
                                        .ts_max_period = 60,
                                        .max_result = {MAX_RESULT}};
    const tn_plugin *plugin = tn_plugin_v1();
    const tn_connector_ops *ops = plugin->ops;
    struct rd inst = {.conf = NULL};
    tn_val v[ARGS];
    void *conn = NULL;
    tn_err err = TN_ERR_INIT;
    uint32_t count = 0;
    while (ops->methods[count].name != NULL) {
        count++;
    }
    const tn_method *m = &ops->methods[(data[0] & 0x7f) % count];
    const tn_args args = {.pos = v, .npos = arguments(m->args, data[0] >> 7, v)};
    wire.s = data + 2;
    wire.n = n - 2;
    wire.piece = piece;
    told.hash = 0;
    if (plugin->attach(&inst, &conf, &err) != TN_OK || ops->open(&inst, 0, &conn, &err) != TN_OK) {
        abort();
    }
    tn_result result = {NULL, 0, 0};
    tn_rc rc = ops->invoke(&inst, conn, m->id, &args, 0, &result, &err);
    tn_sink sink = {.ops = &sink_ops};
    if (rc == TN_OK) {
        ops->emit(&inst, &result, &sink, &err);
        ops->result_free(&inst, &result);
    } else if (err.msg[0] == '\0') {
        abort();
    }
    mix(&rc, sizeof rc);
    ops->close(&inst, conn, TN_CLOSE_BROKEN);
    plugin->detach(&inst);
    return told.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const tn_host host = {.size = sizeof host,
                                 .fail = err_set,
                                 .now_ns = now_ns,
                                 .wall_us = wall_us,
                                 .json = &json_host_ops};
    if (n < 3 || n > 300000) {
        return 0;
    }
    tn_plugin_v1()->load(&host, NULL);
    if (play(data, n, SIZE_MAX) != play(data, n, (size_t)data[1] + 1)) {
        abort(); /* how a reply is cut must not matter */
    }
    return 0;
}
