/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to Python and back: the input is the argument of a function that returns it. Whatever was
 * accepted must come out as JSON that gives the same JSON again. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/value/json.h"
#include "kernel/worker/lang.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static tn_rc env_ask(void *ctx, const char *service, tn_str payload, struct buf *ret, tn_err *err)
{
    (void)ctx;
    (void)payload;
    if (strcmp(service, "code.get") != 0) {
        return err_set(err, TN_E_UNSUPP, "unknown service %s", service);
    }
    buf_adds(
        ret,
        "{\"kind\":\"source\",\"md5\":\"\",\"version\":1}\n"
        "import datetime, decimal, collections\n"
        "P = collections.namedtuple('P', 'a b')\n"
        "class D:\n"
        "    def __init__(self, v): self.v = v\n"
        "    def toDict(self): return self.v\n"
        "    def __repr__(self): return 'D(%.20s)' % self.v\n"
        "class J(D):\n"
        "    toDict = None\n"
        "    def __json__(self): return self.v\n"
        "KINDS = {'dec': decimal.Decimal, 'float': float, 'day': lambda v: datetime.date.fromordinal(v),\n"
        "         'time': lambda v: datetime.datetime.fromtimestamp(v), 'bytes': lambda v: v.encode('latin-1'),\n"
        "         'set': set, 'pair': lambda v: P(v, v), 'to': D, 'json': J, 'int': int, 'chr': chr,\n"
        "         'key': lambda v: {tuple(v): 1}, 'self': lambda v: v.append(v) or v}\n"
        "def odd(x=None):\n"
        "    if isinstance(x, list): return [odd(v) for v in x]\n"
        "    if not isinstance(x, dict): return x\n"
        "    for k, v in x.items():\n"
        "        if k in KINDS: return KINDS[k](odd(v))\n"
        "    return {k: odd(v) for k, v in x.items()}\n"
        "def echo(x=None): return x\n"
        "def names(**kw): return _DFF_HTTP_REQUEST\n");
    return TN_OK;
}

static void env_print(void *ctx, tn_str line)
{
    (void)ctx;
    (void)line;
}

static void env_log(void *ctx, int level, const char *fmt, ...)
{
    (void)ctx;
    (void)level;
    (void)fmt;
}

static const char *env_setting(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return NULL;
}

static const struct lang_env env = {
    .ask = env_ask, .print = env_print, .log = env_log, .setting = env_setting};

static void call(const char *func, tn_str args, tn_str http, struct lang_reply *r)
{
    struct lang_call c = {.start_us = clock_wall_us(),
                          .start_ns = clock_mono_ns(),
                          .task_id = TN_STR("task-1"),
                          .script = TN_STR("f__f"),
                          .func = str_of(func),
                          .args = args,
                          .http = http,
                          .generation = 1,
                          .timeout_ms = 1000};
    buf_clear(&r->value);
    buf_clear(&r->control);
    buf_clear(&r->error);
    r->value_kind = TN_VALUE_NONE;
    lang_python.run(&c, r);
    if (r->status != TN_CALL_SUCCESS && r->error.len == 0) {
        abort();
    }
}

static void start(void)
{
    static int started;
    tn_err err = TN_ERR_INIT;
    if (!started &&
        (lang_python.boot(&env, &err) != TN_OK || lang_python.child(&env, &err) != TN_OK)) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    started = 1;
}

/* Objects of many kinds, which the input chooses: what is accepted must come out as JSON. */
static void odd(tn_str args, struct lang_reply *r)
{
    tn_err err = TN_ERR_INIT;
    uint32_t kind, n = 0;
    call("odd", args, TN_STR("{}"), r);
    if (r->status != TN_CALL_SUCCESS || r->value_kind == TN_VALUE_NONE) {
        return;
    }
    if (r->value_kind == TN_VALUE_TEXT
            ? !str_utf8_valid(buf_str(&r->value))
            : json_scan(buf_str(&r->value), &kind, NULL, 0, &n, &err) == TN_E_INVAL) {
        fprintf(stderr, "not JSON: %.*s: %s\n", (int)r->value.len, r->value.data, err.msg);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lang_reply a = {.value = BUF_INIT(0)}, b = {.value = BUF_INIT(0)};
    struct buf args = BUF_INIT(0);
    start();
    if (size > 1 << 20) {
        return 0;
    }
    call("names", (tn_str){(const char *)data, size}, (tn_str){(const char *)data, size}, &a);
    buf_adds(&args, "{\"x\":");
    buf_add(&args, data, size);
    buf_addc(&args, '}');
    odd(buf_str(&args), &a);
    call("echo", buf_str(&args), TN_STR("{}"), &a);
    if (a.status == TN_CALL_SUCCESS && a.value_kind != TN_VALUE_NONE) {
        buf_clear(&args);
        buf_adds(&args, "{\"x\":");
        if (a.value_kind == TN_VALUE_TEXT) {
            buf_quote(&args, buf_str(&a.value));
        } else {
            buf_addstr(&args, buf_str(&a.value));
        }
        buf_addc(&args, '}');
        call("echo", buf_str(&args), TN_STR("{}"), &b);
        if (b.status != TN_CALL_SUCCESS || b.value_kind != a.value_kind ||
            !str_eq(buf_str(&a.value), buf_str(&b.value))) {
            abort();
        }
    }
    buf_finish(&args);
    return 0;
}
