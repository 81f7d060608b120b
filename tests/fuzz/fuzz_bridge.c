/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to Python and back: the input is the argument of a function that returns it. Whatever was
 * accepted must come out as JSON that gives the same JSON again. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
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
    buf_adds(ret, "{\"kind\":\"source\",\"md5\":\"\",\"version\":1}\n"
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

static const struct lang_env env = {NULL, env_ask, env_print, env_log, env_setting};

static void call(const char *func, tn_str args, tn_str http, struct lang_reply *r)
{
    struct lang_call c = {.task_id = TN_STR("task-1"), .script = TN_STR("f__f"), .func = str_of(func),
                          .args = args, .http = http, .generation = 1, .timeout_ms = 1000};
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
    if (!started && (lang_python.boot(&env, &err) != TN_OK || lang_python.child(&env, &err) != TN_OK)) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    started = 1;
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
