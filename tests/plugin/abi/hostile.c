/* SPDX-License-Identifier: Apache-2.0 */
/* One plugin that is right in everything but in what CASE_… makes wrong; built once for each case. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/tenon.h>
#include <unistd.h>

/* What the cases change. */
#define KIND        TN_KIND_CONNECTOR
#define NAME        PLUGIN_NAME
#define VERSION     "1.0.0"
#define SUMMARY     "Only there to be refused"
#define OPS         &ops_table
#define METHODS     methods
#define INVOKE      bad_invoke
#define CAPS        0
#define CONFIG      fields
#define CONF        sizeof(struct conf)
#define INST        16
#define LOAD        NULL
#define HEAD        .magic = TN_MAGIC, .abi_major = 1, .abi_minor = 0, .size = sizeof(tn_plugin)
#define OPS_SIZE    sizeof(tn_connector_ops)
#define PLUGIN_NAME "victim"

struct conf {
    int64_t n;
};
#define FIELDS                                                                                     \
    {TN_FIELD(struct conf, n), .dflt = "1", .min = 0, .max = 9, .doc = "A number."},               \
    {                                                                                              \
        0                                                                                          \
    }
#define ENTRY_NAME tn_plugin_v1
#define ENTRY_BODY return &plugin_table.v1

#if defined(CASE_no_entry)
TN_ENVIRONMENT(
    "TENON_TEST_WANTED=1\0LD_TENON_TEST=1\0tenon_test=1\0PATH=/nowhere\0TENON_TEST_LAST=a=b");
#undef ENTRY_NAME
#define ENTRY_NAME something_else
#elif defined(CASE_other_major_entry)
#undef ENTRY_NAME
#define ENTRY_NAME tn_plugin_v2
#elif defined(CASE_null_entry)
#undef ENTRY_BODY
#define ENTRY_BODY return NULL
#elif defined(CASE_entry_crashes)
#undef ENTRY_BODY
#define ENTRY_BODY                                                                                 \
    raise(SIGSEGV);                                                                                \
    return &plugin_table.v1
#elif defined(CASE_wrong_magic)
#undef HEAD
#define HEAD .magic = 0x464c457f, .abi_major = 1, .size = sizeof(tn_plugin)
#elif defined(CASE_future_major)
#undef HEAD
#define HEAD .magic = TN_MAGIC, .abi_major = 2, .size = sizeof(tn_plugin)
#elif defined(CASE_future_minor) /* everything has grown: must be usable */
#define GROWN 1
#undef NAME
#define NAME "from_the_future"
#elif defined(CASE_size_zero)
#undef HEAD
#define HEAD .magic = TN_MAGIC, .abi_major = 1, .size = 0
#elif defined(CASE_size_huge)
#undef HEAD
#define HEAD .magic = TN_MAGIC, .abi_major = 1, .size = 0x7fffffff
#elif defined(CASE_size_short)
#undef HEAD
#define HEAD .magic = TN_MAGIC, .abi_major = 1, .size = offsetof(tn_plugin, ops)
#elif defined(CASE_kind_zero)
#undef KIND
#define KIND 0
#elif defined(CASE_kind_99)
#undef KIND
#define KIND 99
#elif defined(CASE_bad_name)
#undef NAME
#define NAME "../evil"
#elif defined(CASE_long_name)
#undef NAME
#define NAME "a23456789012345678901234567890123"
#elif defined(CASE_null_name)
#undef NAME
#define NAME NULL
#elif defined(CASE_no_version)
#undef VERSION
#define VERSION ""
#elif defined(CASE_two_line_summary)
#undef SUMMARY
#define SUMMARY "one\ntwo"
#elif defined(CASE_no_ops)
#undef OPS
#define OPS NULL
#elif defined(CASE_ops_size_zero)
#undef OPS_SIZE
#define OPS_SIZE 0
#elif defined(CASE_ops_size_huge)
#undef OPS_SIZE
#define OPS_SIZE 0x80000000u
#elif defined(CASE_ops_short) /* ends before invoke: what lies behind must not be read */
#undef OPS_SIZE
#define OPS_SIZE offsetof(tn_connector_ops, invoke)
#elif defined(CASE_missing_op)
#undef INVOKE
#define INVOKE NULL
#elif defined(CASE_no_methods)
#undef METHODS
#define METHODS NULL
#elif defined(CASE_cancel_lie)
#undef CAPS
#define CAPS TN_CAP_CANCEL
#elif defined(CASE_bad_default)
#undef FIELDS
#define FIELDS                                                                                     \
    {TN_FIELD(struct conf, n), .dflt = "ten", .doc = "A number."},                                 \
    {                                                                                              \
        0                                                                                          \
    }
#elif defined(CASE_default_out_of_range)
#undef FIELDS
#define FIELDS                                                                                     \
    {TN_FIELD(struct conf, n), .dflt = "10", .max = 9, .doc = "A number."},                        \
    {                                                                                              \
        0                                                                                          \
    }
#elif defined(CASE_field_outside)
#undef CONF
#define CONF 4
#elif defined(CASE_conf_huge)
#undef CONF
#define CONF 0x10001
#elif defined(CASE_inst_huge)
#undef INST
#define INST 0xffffffffu
#elif defined(CASE_wild_config)
#undef CONFIG
#define CONFIG (const tn_field *)16
#elif defined(CASE_same_method_id)
#define TWICE 1
#elif defined(CASE_endless_methods)
#define ENDLESS 1
#elif defined(CASE_ctor_aborts)
#define CONSTRUCTOR abort()
#elif defined(CASE_ctor_crashes)
/* the pointer itself is volatile, so that no compiler proves the crash and warns */
static volatile int *volatile nowhere = (volatile int *)16;
#define CONSTRUCTOR *nowhere = 0
#elif defined(CASE_ctor_exits)
#define CONSTRUCTOR exit(0)
#elif defined(CASE_ctor_hangs)
#define CONSTRUCTOR                                                                                \
    signal(SIGTERM, SIG_IGN);                                                                      \
    for (;;) {                                                                                     \
        pause();                                                                                   \
    }
#elif defined(CASE_ctor_floods) /* writes to every descriptor it can guess */
#define CONSTRUCTOR                                                                                \
    for (int round = 0; round < 100000; round++) {                                                 \
        for (int fd = 0; fd < 20; fd++) {                                                          \
            if (write(fd, "DECRRRR\377\377\377\377", 11) < 0) {                                    \
                continue;                                                                          \
            }                                                                                      \
        }                                                                                          \
    }
#elif defined(CASE_ctor_lies) /* an answer of its own, with lengths from nowhere */
#define CONSTRUCTOR                                                                                \
    const unsigned char lie[] = {'R', 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,                          \
                                 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};                            \
    if (write(3, lie, sizeof lie) < 0) {                                                           \
        abort();                                                                                   \
    }
#elif defined(CASE_ctor_prints) /* rude, but no reason to refuse it */
#define CONSTRUCTOR                                                                                \
    puts("hello from a constructor");                                                              \
    fflush(stdout);                                                                                \
    fputs("hello\n", stderr)
#undef NAME
#define NAME "chatty"
#elif defined(CASE_ctor_forks) /* leaves a process behind that holds every descriptor */
#define CONSTRUCTOR                                                                                \
    if (fork() == 0) {                                                                             \
        sleep(60);                                                                                 \
        _exit(0);                                                                                  \
    }
#undef NAME
#define NAME "breeder"
#elif defined(CASE_undefined_symbol)
void this_function_exists_nowhere(void);
#undef ENTRY_BODY
#define ENTRY_BODY                                                                                 \
    this_function_exists_nowhere();                                                                \
    return &plugin_table.v1
#elif defined(CASE_load_fails) /* usable as far as a probe can tell */
#undef NAME
#define NAME "unloadable"
#undef LOAD
#define LOAD bad_load
#elif defined(CASE_twin_a)
#undef NAME
#define NAME "twin"
#elif defined(CASE_twin_b)
#undef NAME
#define NAME "twin"
#endif

#ifdef CONSTRUCTOR
__attribute__((constructor)) static void construct(void)
{
    CONSTRUCTOR;
}
#endif

static tn_rc bad_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    (void)inst, (void)deadline_ns, (void)err;
    *ret_conn = inst;
    return TN_OK;
}

static tn_rc bad_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    (void)inst, (void)conn, (void)deadline_ns, (void)err;
    return TN_OK;
}

static tn_rc bad_reset(void *inst, void *conn, tn_err *err)
{
    (void)inst, (void)conn, (void)err;
    return TN_OK;
}

static void bad_close(void *inst, void *conn, uint32_t why)
{
    (void)inst, (void)conn, (void)why;
}

static tn_rc __attribute__((unused))
bad_invoke(void *inst, void *conn, uint32_t method, const tn_args *args, uint64_t deadline_ns,
           tn_result *ret, tn_err *err)
{
    (void)inst, (void)conn, (void)method, (void)args, (void)deadline_ns, (void)ret, (void)err;
    return TN_OK; /* promises a result for any method, with any arguments, after any deadline */
}

static tn_rc bad_emit(void *inst, const tn_result *result, tn_sink *sink, tn_err *err)
{
    (void)inst, (void)result, (void)sink, (void)err;
    return TN_OK; /* describes nothing */
}

static void bad_result_free(void *inst, tn_result *result)
{
    (void)inst, (void)result;
}

static tn_rc __attribute__((unused)) bad_load(const tn_host *host, tn_err *err)
{
    return host->fail(err, TN_E_UNAVAIL, "the library says no");
}

static const tn_field __attribute__((unused)) fields[] = {FIELDS};
#ifdef ENDLESS
static tn_method methods[5000];
__attribute__((constructor)) static void fill_methods(void)
{
    static char names[5000][8];
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(names[i], sizeof names[i], "m%u", i);
        methods[i] = (tn_method){names[i], "", "One of too many.", i, 0};
    }
}
#elif defined(TWICE)
static const tn_method methods[] = {{"m", "", "A.", 1, 0}, {"n", "", "B.", 1, 0}, {0}};
#else
static const tn_method __attribute__((unused)) methods[] = {{"m", "", "Does nothing.", 1, 0}, {0}};
#endif

struct ops {
    tn_connector_ops v1;
    void (*unknown)(void); /* what a later minor may append */
};
static const struct ops __attribute__((unused)) ops_table = {
    .v1 = {.size =
#ifdef GROWN
               sizeof(struct ops),
#else
               OPS_SIZE,
#endif
           .methods = METHODS,
           .open = bad_open,
           .check = bad_check,
           .reset = bad_reset,
           .close = bad_close,
           .invoke = INVOKE,
           .emit = bad_emit,
           .result_free = bad_result_free},
};

struct plugin {
    tn_plugin v1;
    const char *unknown;
};
static const struct plugin __attribute__((unused)) plugin_table = {
    .v1 =
        {
#ifdef GROWN
            .magic = TN_MAGIC,
            .abi_major = 1,
            .abi_minor = 999,
            .size = sizeof(struct plugin),
#else
            HEAD,
#endif
            .kind = KIND,
            .name = NAME,
            .version = VERSION,
            .summary = SUMMARY,
            .caps = CAPS,
            .config = CONFIG,
            .conf_size = CONF,
            .inst_size = INST,
            .load = LOAD,
            .ops = OPS},
    .unknown = "of a later minor",
};

TN_EXPORT const tn_plugin *ENTRY_NAME(void);
const tn_plugin *ENTRY_NAME(void)
{
    ENTRY_BODY;
}
