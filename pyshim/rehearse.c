/* SPDX-License-Identifier: Apache-2.0 */
/* Before the first fork: what a call leaves behind in the interpreter is made once, for all workers. */
#include "pyshim/shim.h"

#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"

#define TIMES      20 /* bytecode specialises itself after a few rounds */
#define ANSWER_MAX (64u << 10)

/* Ours, never a user's: decorated functions, imports, prints, a dict in and out, and an error. */
static const char script[] =
    "import json\n"
    "import math\n"
    "import re\n"
    "SETTINGS = {'unit': 'ms', 'names': ['a', 'b'], 'pattern': '[a-z]+'}\n"
    "@DFF.API('Add', category='math', tags=['a'])\n"
    "def add(x, y=1, *args, **kwargs):\n"
    "    '''Adds.'''\n"
    "    print('rehearsal', x)\n"
    "    return {'result': int(x) + int(y), 'settings': SETTINGS}\n"
    "@DFF.API('Scale', timeout=30, expires=60, queue=2)\n"
    "def scale(x):\n"
    "    return [float(x), None, True, '\\u00e9', re.findall('[a-z]+', 'ab')]\n"
    "def fail():\n"
    "    return math.sqrt(-1)\n";

static void no_print(void *ctx, tn_str line)
{
    (void)ctx;
    (void)line;
}

struct step {
    const char *func, *args;
    bool fails;
};

static tn_rc call(tn_str id, const struct step *step, struct lang_reply *reply, tn_err *err)
{
    const struct lang_call c = {.task_id = str_of("rehearsal"),
                                .script = id,
                                .func = str_of(step->func),
                                .origin = str_of("syncAPI"),
                                .origin_id = str_of("rehearsal"),
                                .args = str_of(step->args),
                                .http = str_of("{}"),
                                .vars = str_of("{}"),
                                .generation = 1,
                                .data_gen = 1,
                                .start_us = clock_wall_us(),
                                .trigger_us = clock_wall_us(),
                                .start_ns = clock_mono_ns(),
                                .timeout_ms = 10000,
                                .expires_ms = 10000};
    buf_clear(&reply->value);
    buf_clear(&reply->control);
    buf_clear(&reply->error);
    shim_run(&c, reply);
    if ((reply->status == TN_CALL_SUCCESS) == step->fails) {
        return err_set(err, TN_E_INTERNAL, "the rehearsal of %s() ended otherwise: %.*s",
                       step->func, (int)reply->error.len, reply->error.data);
    }
    return TN_OK;
}

void rehearse(void)
{
    static const struct step steps[] = {{"add", "{\"x\":\"1\",\"y\":2.5}", false},
                                        {"scale", "{\"x\":[1,{\"a\":null}]}", true},
                                        {"scale", "{\"x\":\"1\"}", false},
                                        {"fail", "{}", true}};
    const tn_str id = str_of("rehearsal__script");
    const struct lang_env env = shim.env;
    struct lang_reply reply = {.value = BUF_INIT(ANSWER_MAX),
                               .control = BUF_INIT(ANSWER_MAX),
                               .error = BUF_INIT(ANSWER_MAX)};
    tn_err err = TN_ERR_INIT;
    tn_rc rc = code_preload(id, 1, str_of(script), (tn_str){NULL, 0}, NULL, &err);
    shim.env.print = no_print;
    for (int i = 0; rc == TN_OK && i < TIMES; i++) {
        for (size_t k = 0; rc == TN_OK && k < sizeof(steps) / sizeof(*steps); k++) {
            rc = call(id, &steps[k], &reply, &err);
        }
    }
    shim.env = env;
    code_unload(id);
    buf_finish(&reply.value);
    buf_finish(&reply.control);
    buf_finish(&reply.error);
    if (rc != TN_OK) {
        env.log(env.ctx, TN_LOG_WARNING, "workers start colder than they should: %s", err.msg);
    }
}
