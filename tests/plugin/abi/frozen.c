/* SPDX-License-Identifier: Apache-2.0 */
/* A connector built from the headers of release 1.0, which never change again: today's kernel must
 * still use it. */
#include <stdlib.h>
#include <tenon/tenon.h>

static const tn_host *host;
struct conf {
    const char *greeting;
    tn_dur wait;
};
struct inst {
    const struct conf *conf;
};
static const tn_field fields[] = {
    {TN_FIELD(struct conf, greeting), .dflt = "hello", .doc = "What hello() answers."},
    {TN_FIELD(struct conf, wait), .dflt = "3s", .doc = "Not used."},
    {0},
};
static const tn_method methods[] = {{"hello", "", "Answers the greeting.", 1, 0}, {0}};

static tn_rc on_load(const tn_host *h, tn_err *err)
{
    (void)err;
    host = h;
    return TN_OK;
}

static tn_rc on_attach(void *inst, const void *conf, tn_err *err)
{
    (void)err;
    ((struct inst *)inst)->conf = conf;
    return TN_OK;
}

static tn_rc on_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    if (deadline_ns != 0 && host->now_ns() >= deadline_ns) {
        return host->fail(err, TN_E_TIMEOUT, "no time left to open");
    }
    void *conn = malloc(1);
    if (conn == NULL) {
        return host->fail(err, TN_E_NOMEM, "no memory for a connection of %p", inst);
    }
    *ret_conn = conn;
    return TN_OK;
}

static tn_rc on_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    (void)inst, (void)conn, (void)deadline_ns, (void)err;
    return TN_OK;
}

static tn_rc on_reset(void *inst, void *conn, tn_err *err)
{
    (void)inst, (void)conn, (void)err;
    return TN_OK;
}

static void on_close(void *inst, void *conn, uint32_t why)
{
    (void)inst, (void)why;
    free(conn);
}

static tn_rc on_invoke(void *inst, void *conn, uint32_t method, const tn_args *args,
                       uint64_t deadline_ns, tn_result *ret, tn_err *err)
{
    (void)inst, (void)conn, (void)args, (void)deadline_ns;
    if (method != 1) {
        return host->fail(err, TN_E_UNSUPP, "there is no method %u", method);
    }
    ret->method = method;
    return TN_OK;
}

static tn_rc on_emit(void *inst, const tn_result *result, tn_sink *sink, tn_err *err)
{
    (void)result, (void)err;
    const char *text = ((struct inst *)inst)->conf->greeting;
    tn_val v = {.type = TN_T_STR, .u.s = text};
    while (text[v.n] != '\0') {
        v.n++;
    }
    return sink->ops->scalar(sink, &v);
}

static void on_result_free(void *inst, tn_result *result)
{
    (void)inst, (void)result;
}

static const tn_connector_ops ops = {.size = sizeof ops,
                                     .methods = methods,
                                     .open = on_open,
                                     .check = on_check,
                                     .reset = on_reset,
                                     .close = on_close,
                                     .invoke = on_invoke,
                                     .emit = on_emit,
                                     .result_free = on_result_free};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .name = "frozen", .version = "1.0.0",
          .summary = "Built from the headers of 1.0", .config = fields,
          .conf_size = sizeof(struct conf), .inst_size = sizeof(struct inst), .load = on_load,
          .attach = on_attach, .ops = &ops)
