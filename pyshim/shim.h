/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Python host share: the process context, the running task, the bridges. */
#pragma once
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernel/base/buf.h"
#include "kernel/base/map.h"
#include "kernel/worker/lang.h"
#include <stdbool.h>

#if PY_VERSION_HEX < 0x030A0000
static inline PyObject *Py_NewRef(PyObject *o)
{
    Py_INCREF(o);
    return o;
}
static inline PyObject *Py_XNewRef(PyObject *o)
{
    Py_XINCREF(o);
    return o;
}
#endif

/* Interned names that are used on the path of every call. */
#define SHIM_NAMES(X)                                                                              \
    X(name, "__name__")                                                                            \
    X(file, "__file__")                                                                            \
    X(builtins, "__builtins__")                                                                    \
    X(doc, "__doc__")                                                                              \
    X(dff, "DFF")                                                                                  \
    X(debug, "_DFF_DEBUG")                                                                         \
    X(task_id, "_DFF_TASK_ID")                                                                     \
    X(root_task_id, "_DFF_ROOT_TASK_ID")                                                           \
    X(script_set_id, "_DFF_SCRIPT_SET_ID")                                                         \
    X(script_id, "_DFF_SCRIPT_ID")                                                                 \
    X(func_id, "_DFF_FUNC_ID")                                                                     \
    X(func_name, "_DFF_FUNC_NAME")                                                                 \
    X(func_chain, "_DFF_FUNC_CHAIN")                                                               \
    X(origin, "_DFF_ORIGIN")                                                                       \
    X(origin_id, "_DFF_ORIGIN_ID")                                                                 \
    X(trigger_time, "_DFF_TRIGGER_TIME")                                                           \
    X(trigger_time_ms, "_DFF_TRIGGER_TIME_MS")                                                     \
    X(start_time, "_DFF_START_TIME")                                                               \
    X(start_time_ms, "_DFF_START_TIME_MS")                                                         \
    X(eta, "_DFF_ETA")                                                                             \
    X(delay, "_DFF_DELAY")                                                                         \
    X(cron_expr, "_DFF_CRON_EXPR")                                                                 \
    X(cron_job_delay, "_DFF_CRON_JOB_DELAY")                                                       \
    X(cron_job_exec_mode, "_DFF_CRON_JOB_EXEC_MODE")                                               \
    X(crontab, "_DFF_CRONTAB")                                                                     \
    X(crontab_delay, "_DFF_CRONTAB_DELAY")                                                         \
    X(crontab_exec_mode, "_DFF_CRONTAB_EXEC_MODE")                                                 \
    X(queue, "_DFF_QUEUE")                                                                         \
    X(http_request, "_DFF_HTTP_REQUEST")                                                           \
    X(headers, "headers")                                                                          \
    X(text_root, "ROOT")                                                                           \
    X(empty, "")

struct shim_names {
#define X(id, text) PyObject *id;
    SHIM_NAMES(X)
#undef X
};

#define SCRIPT_NUMBERS 5
/* One script as this process knows it. Lives until it is unloaded or its code changes. */
struct script {
    PyObject *id;        /* str */
    PyObject *set_id;    /* str: the part before the first "__" */
    PyObject *code;      /* code object; NULL: there is no such script at `generation` */
    PyObject *portable;  /* the same for marshal, until it is written */
    PyObject *source;    /* str, for tracebacks */
    PyObject *globals;   /* dict: what a run starts from (see globals.c) */
    PyObject *func_name; /* the function that was called last, and its id: both are in `globals` */
    PyObject *func_id;
    PyObject *origin, *origin_id;
    int64_t numbers[SCRIPT_NUMBERS]; /* that `globals` has, see keep_numbers() */
    PyObject *imports;   /* of a top level that only defines (fold.py), in code; else NULL */
    struct kept *kept;   /* namespace that the next call may begin with, see keep.c */
    unsigned misses;     /* calls in a row that left it changed */
    bool uses_request;   /* its text names _DFF_HTTP_REQUEST */
    bool uses_modules;   /* its text names something that looks modules up by name (code.c) */
    char md5[33];        /* of the source; "" unknown */
    uint64_t generation; /* of the last check */
};

/* A user script that the running task has imported, or its entry script. */
struct task_module {
    struct task_module *next;
    PyObject *name;            /* str: script id */
    PyObject *module;          /* module object; NULL for the entry script until somebody asks */
    PyObject *dict;            /* its globals */
    bool listed;               /* in sys.modules while the task runs */
    unsigned long owner;       /* thread that executes it, 0 = done */
    struct task_module *waits; /* what that thread waits for */
};

/* The running call. One per process at a time. */
struct task {
    const struct lang_call *call;
    struct lang_reply *reply;
    struct script *entry;
    PyObject *globals;           /* of the entry script */
    PyObject *http;              /* _DFF_HTTP_REQUEST */
    PyObject *base;              /* dict for imported scripts, made at the first import */
    struct task_module *modules; /* in the order of import; the entry script is the first */
    PyObject *api_funcs;         /* debugger: list of collected functions, else NULL */
    PyObject *print_logs;        /* debugger: list of lines, else NULL */
    PyObject *secrets;           /* list of password texts, longest first, or NULL */
    PyObject *state;             /* dict of the Python side (CTX, THREAD ...), or NULL */
    int64_t start_us;
    uint64_t start_ns; /* CLOCK_MONOTONIC */
    uint64_t last_print_ns;
    size_t print_bytes; /* kept for print_logs */
    bool debug;
    bool plain;  /* nothing in its vars differs from the template */
    bool kept;   /* the namespace is entry->kept's */
    bool retire; /* threads of the call would not end */
};

/* Per-process context. */
struct shim {
    struct lang_env env;
    bool have_env, in_child, dirty;
    PyThreadState *main_thread; /* saved while the worker waits for work */
    struct shim_names n;
    struct map scripts;       /* id -> struct script */
    struct task *task;        /* the running call or NULL */
    uint64_t serial;          /* counts calls: a thread that comes back from waiting compares it,
                                      because its call may have ended meanwhile */
    PyObject *builtins;       /* dict of every script */
    PyObject *builtins_saved; /* untouched copy */
    PyObject *builtins_module_saved;
    uint64_t builtins_version, builtins_module_version;
    PyObject *empty_tuple;
    PyObject *decimal_type, *timeout_type, *compile;
    PyObject *resp_type; /* tenon_shim.resp.Resp */
    PyObject *warning_type;
    PyObject *m_api, *m_fold, *m_report, *m_resp, *m_task, *m_dff; /* Python sources of the shim */
};
extern struct shim shim;

/* ---- values (value_in.c, value_out.c, number.c, value_reply.c) ---- */
/* Strict JSON text to objects; NULL with ValueError set. */
PyObject *value_in(tn_str text);
/* The same, and it must be an object; empty text is an empty dict. `what` names it in the error. */
PyObject *value_in_dict(tn_str text, const char *what);
/* JSON by the rules of return values (spec 3.9); -1 with an exception set. */
int value_out(struct buf *out, PyObject *v);
/* The same in the dress of Python's encoder: 1.0 stays 1.0, other than ASCII is escaped. */
int value_out_plain(struct buf *out, PyObject *v);
/* Sets value_kind and value of the reply; -1 with an exception set. */
int value_reply(struct lang_reply *reply, PyObject *v);
/* A double as JavaScript prints it; -1 no memory. v is finite. */
int number_out(struct buf *out, double v);

/* ---- scripts (code.c) ---- */
/* Checked against the call's generation. NULL with an exception set, *ret_missing tells
 * "no such script" (then no exception is set). */
struct script *code_get(tn_str id, bool *ret_missing);
PyObject *code_compile(PyObject *source, PyObject *id);
/* A debugger run: a script that is in no table; freed with code_free. */
struct script *code_draft(tn_str id, tn_str source);
void code_free(struct script *s);
tn_rc code_preload(tn_str id, uint64_t generation, tn_str source, tn_str marshal,
                   struct buf *ret_marshal, tn_err *err);
void code_unload(tn_str id);
/* Source text of a script that ran in this task, borrowed, or NULL. */
PyObject *code_source(PyObject *id);

/* ---- globals (globals.c), builtins (builtins.c) ---- */
PyObject *globals_entry(struct task *t);
PyObject *globals_import(struct task *t, PyObject *id);
/* Empties a module's dict when nothing but itself can still reach it; steals the reference. */
void globals_drop(PyObject *dict);
Py_ssize_t globals_given(void); /* members that every namespace begins with */
/* Takes over what the template says of this call, forgets what belongs to one call; -1 with an exception set. */
int globals_refresh(PyObject *dict, PyObject *from);
int globals_forget(PyObject *dict);

/* ---- literals that a script can change (boxes.c) ---- */
struct boxes {
    unsigned n, room;
    struct box *v;
};
/* Takes down v and the lists, dicts and tuples in it; -1: it is more than literals, or too much. The collector holds v. */
int boxes_add(struct boxes *b, PyObject *v);
void boxes_close(
    struct boxes *b); /* all added: who holds them now may go on holding them, nobody else */
bool boxes_same(const struct boxes *b); /* as they were, and (closed) held by nobody else? */
void boxes_free(struct boxes *b);

/* ---- namespaces that need not be made again (keep.c) ---- */
/* Globals in which the script has already run, but for the values of the call; NULL (no exception): there are none. */
PyObject *keep_take(struct task *t);
/* The script has run: what changes from now on is the call's doing. */
void keep_begin(struct task *t);
void keep_settle(struct task *t); /* the call is over, and t->globals was given back */
void keep_free(struct script *s);

int builtins_init(void);
void builtins_check(void); /* undoes what a script changed */

/* ---- import (importer.c, import_plain.c) ---- */
/* Python's own import; v holds the arguments of __import__, NULL where absent. */
PyObject *importer_plain(PyObject *const v[5], int level);
int importer_init(PyObject *builtins);
int importer_enter(struct task *t); /* registers the entry script */
void importer_leave(struct task *t);

/* ---- DFF (dff.c, dff_api.c), request (httpreq.c), print (print.c) ---- */
int dff_init(void);
PyObject *dff_new(PyObject *script_id);
int api_init(void);
PyObject *api_object(void); /* borrowed */
/* The code with decorators where fold.py has left marks; the same object when there are none. */
PyObject *api_constants(PyObject *code);
/* The imports that fold.py has found, borrowed from code, or NULL. */
PyObject *api_defines(PyObject *code);
int httpreq_init(void);
PyObject *httpreq_new(const struct lang_call *call);
int httpreq_fill(PyObject *req);      /* fetches and parses now; -1 with an exception set */
void httpreq_end(PyObject *req_take); /* the raw text goes away */
int print_init(PyObject *builtins);
int print_line(const char *text, Py_ssize_t n);

/* ---- reports (report.c) ---- */
/* Takes the exception that is set, fills status and error of the reply. */
void report_failure(struct task *t);
/* The parts of the report as a dict {"status", "exception", "exceptionType", "traceback"}; clears
 * the exception. Never NULL but when memory is exhausted. */
PyObject *report_dict(bool debug);

/* ---- run (run.c, debug.c) ---- */
void shim_run(const struct lang_call *call, struct lang_reply *reply);
void shim_idle(void); /* no call runs: gives up the lock */
/* Executes the script and calls the function; new reference to the value, NULL with exception. */
PyObject *run_script(struct task *t);
void debug_run(struct task *t);

/* ---- time limit (timeout.c) ---- */
int timeout_init(void);
void timeout_begin(void);
void timeout_end(void);
bool timeout_pending(void);
void timeout_soft(int canceled);
void timeout_dump(int fd);

/* ---- connectors (conn.c, conn_in.c, conn_out.c) ---- */
int conn_init(PyObject *module);
void conn_end(void); /* the call is over: its connections are reset and go back */

/* ---- module _tenon (bridge.c), digests and AES (crypt.c) ---- */
PyMODINIT_FUNC shim_bridge_init(void);
PyObject *bridge_ask(const char *service, tn_str payload, tn_rc *ret_rc);
int crypt_md5(const void *p, size_t n, char out[33]);
PyObject *crypt_aes_cbc(PyObject *self, PyObject *args);

/* ---- embedded Python sources (made by embed.py) ---- */
struct embed_source {
    const char *name;
    const unsigned char *text;
    size_t n;
};
extern const struct embed_source embed_sources[];

/* ---- before the forks (rehearse.c, settle.c) ---- */
void rehearse(void); /* zygote, once: calls of a script of ours, so that workers start warm */
void settle(void);   /* zygote, before a fork: what workers allocate will lie close together */

/* ---- small helpers ---- */
/* After the interpreter lock was given up: whether the call of `serial` still runs; else an exception
 * is set and nothing of the task may be touched. */
static inline bool task_goes_on(uint64_t serial)
{
    if (shim.task != NULL && shim.serial == serial) {
        return true;
    }
    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "the call that started this thread has ended");
    }
    return false;
}
static inline uint64_t dict_version(PyObject *dict)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    return ((PyDictObject *)dict)->ma_version_tag;
#pragma GCC diagnostic pop
}
static inline PyObject *str_py(tn_str s)
{
    return PyUnicode_DecodeUTF8(s.s ? s.s : "", (Py_ssize_t)s.n, NULL);
}
/* Whether the str object is that text. */
static inline bool str_is_py(PyObject *u, tn_str s)
{
    if (u == NULL || !PyUnicode_Check(u) || !PyUnicode_IS_COMPACT_ASCII(u)) {
        return false;
    }
    return (size_t)PyUnicode_GET_LENGTH(u) == s.n &&
           (s.n == 0 || memcmp(PyUnicode_1BYTE_DATA(u), s.s, s.n) == 0);
}
