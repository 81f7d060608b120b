/* SPDX-License-Identifier: Apache-2.0 */
/* The Python host table: starting the interpreter once, and what happens around forks. */
#include "pyshim/shim.h"

#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

struct shim shim;

/* The distribution's interpreter decides about prefixes and site folders. */
#ifndef SHIM_PYTHON
#define SHIM_PYTHON "/usr/bin/python3"
#endif

/* Modules that most scripts use: loaded once before the forks, shared by all workers. */
static const char *const preloaded[] = {
    "json",   "re",           "datetime",    "decimal",   "time",      "random",    "hashlib",
    "base64", "uuid",         "collections", "math",      "functools", "itertools", "threading",
    "copy",   "urllib.parse", "zoneinfo",    "traceback", NULL};

static tn_rc python_error(tn_err *err, const char *what)
{
    PyObject *type, *value, *trace, *text;
    PyErr_Fetch(&type, &value, &trace);
    text = value ? PyObject_Str(value) : NULL;
    const char *p = text ? PyUnicode_AsUTF8(text) : NULL;
    PyErr_Clear();
    tn_rc rc = err_set(err, TN_E_INTERNAL, "Python: %s: %s: %s", what,
                       type ? ((PyTypeObject *)type)->tp_name : "error", p ? p : "no text");
    Py_XDECREF(text);
    Py_XDECREF(trace);
    Py_XDECREF(value);
    Py_XDECREF(type);
    return rc;
}

/* No environment variables, no user site, no signal handlers; text is UTF-8 whatever the locale. */
static tn_rc start_python(tn_err *err)
{
    PyPreConfig pre;
    PyConfig config;
    PyStatus st;
    PyPreConfig_InitIsolatedConfig(&pre);
    pre.utf8_mode = 1;
#if defined(__SANITIZE_ADDRESS__)
    pre.allocator = PYMEM_ALLOCATOR_MALLOC; /* so that the sanitizer sees each object */
#endif
    st = Py_PreInitialize(&pre);
    if (PyStatus_Exception(st)) {
        return err_set(err, TN_E_INTERNAL, "cannot start Python: %s", st.err_msg);
    }
    if (PyImport_AppendInittab("_tenon", shim_bridge_init) < 0) {
        return err_set(err, TN_E_NOMEM, "cannot start Python: no memory");
    }
    PyConfig_InitIsolatedConfig(&config);
    config.install_signal_handlers = 0;
    config.write_bytecode = 0;
    config.pathconfig_warnings = 0;
    char *argv[] = {(char *)"tenon"};
    st = PyConfig_SetBytesString(&config, &config.program_name, SHIM_PYTHON);
    if (!PyStatus_Exception(st)) {
        st = PyConfig_SetBytesArgv(&config, 1, argv);
    }
    if (!PyStatus_Exception(st)) {
        st = Py_InitializeFromConfig(&config);
    }
    PyConfig_Clear(&config);
    if (PyStatus_Exception(st)) {
        return err_set(err, TN_E_INTERNAL, "cannot start Python: %s: %s", st.func ? st.func : "",
                       st.err_msg ? st.err_msg : "unknown error");
    }
    return TN_OK;
}

static int make_names(void)
{
#define X(id, text)                                                                                \
    shim.n.id = PyUnicode_InternFromString(text);                                                  \
    if (shim.n.id == NULL) {                                                                       \
        return -1;                                                                                 \
    }
    SHIM_NAMES(X)
#undef X
    return 0;
}

/* The shim's own sources are in the program; each becomes a module of sys.modules. */
static int load_sources(void)
{
    for (const struct embed_source *e = embed_sources; e->name != NULL; e++) {
        PyObject *file = PyUnicode_FromFormat("<%s>", e->name);
        PyObject *text = PyUnicode_DecodeUTF8((const char *)e->text, (Py_ssize_t)e->n, NULL);
        PyObject *name = PyUnicode_FromString(e->name);
        PyObject *code = file && text ? code_compile(text, file) : NULL;
        PyObject *m = code && name ? PyImport_ExecCodeModuleObject(name, code, file, NULL) : NULL;
        if (m != NULL && strchr(e->name, '.') == NULL) {
            /* A package: its parts are registered by name, no folder is searched. */
            PyObject *path = PyList_New(0);
            if (path == NULL || PyObject_SetAttrString(m, "__path__", path) < 0) {
                Py_CLEAR(m);
            }
            Py_XDECREF(path);
        }
        Py_XDECREF(code);
        Py_XDECREF(name);
        Py_XDECREF(text);
        Py_XDECREF(file);
        if (m == NULL) {
            return -1;
        }
        Py_DECREF(m);
    }
    return 0;
}

static int import_as(PyObject **ret, const char *name)
{
    *ret = PyImport_ImportModule(name);
    return *ret ? 0 : -1;
}

static int get_attr(PyObject **ret, PyObject *o, const char *name)
{
    *ret = o ? PyObject_GetAttrString(o, name) : NULL;
    return *ret ? 0 : -1;
}

/* A folder that is not there when Python first looks is taken for none for ever, in all forks. */
static int add_path(const char *root, const char *sub)
{
    char folder[4096];
    if (sub && snprintf(folder, sizeof(folder), "%s/%s", root, sub) < (int)sizeof(folder) &&
        mkdir(folder, 0755) < 0 && errno != EEXIST && errno != ENOENT) {
        shim.env.log(shim.env.ctx, TN_LOG_WARNING, "folder %s cannot be made: %s", folder,
                     strerror(errno));
    }
    PyObject *path = PySys_GetObject("path");
    PyObject *text = PyUnicode_FromFormat(sub ? "%s/%s" : "%s", root, sub);
    int rc = path && text ? PyList_Append(path, text) : -1;
    Py_XDECREF(text);
    return rc;
}

static int init_parts(void)
{
    PyObject *builtins = PyEval_GetBuiltins(), *decimal = NULL;
    shim.empty_tuple = PyTuple_New(0);
    shim.compile = Py_XNewRef(PyDict_GetItemString(builtins, "compile"));
    for (const char *const *m = preloaded; *m; m++) {
        PyObject *mod = PyImport_ImportModule(*m);
        if (mod == NULL) {
            return -1;
        }
        Py_DECREF(mod);
    }
    if (shim.empty_tuple == NULL || shim.compile == NULL || import_as(&decimal, "decimal") < 0 ||
        get_attr(&shim.decimal_type, decimal, "Decimal") < 0) {
        return -1;
    }
    Py_DECREF(decimal);
    if (make_names() < 0 || builtins_init() < 0 || load_sources() < 0 ||
        import_as(&shim.m_task, "tenon_shim.task") < 0 ||
        import_as(&shim.m_api, "tenon_shim.api") < 0 ||
        import_as(&shim.m_fold, "tenon_shim.fold") < 0 ||
        import_as(&shim.m_report, "tenon_shim.report") < 0 ||
        import_as(&shim.m_resp, "tenon_shim.resp") < 0 ||
        import_as(&shim.m_dff, "tenon_shim.dff") < 0 ||
        get_attr(&shim.resp_type, shim.m_resp, "Resp") < 0 ||
        get_attr(&shim.timeout_type, shim.m_task, "TaskTimeout") < 0) {
        return -1;
    }
    PyObject *zone = PyObject_CallMethod(shim.m_task, "zone", NULL); /* now: forks share it */
    if (zone == NULL) {
        return -1;
    }
    Py_DECREF(zone);
    return api_init() < 0 || dff_init() < 0 || httpreq_init() < 0 || timeout_init() < 0 ? -1 : 0;
}

static tn_rc py_boot(const struct lang_env *env, tn_err *err)
{
    tn_rc rc = start_python(err);
    if (rc != TN_OK) {
        return rc;
    }
    signal(SIGPIPE,
           SIG_IGN); /* as Python does when it installs its handlers: a write gives EPIPE */
    shim.env = *env;
    shim.have_env = true;
    map_init(&shim.scripts);
    const char *root = env->setting(env->ctx, "RESOURCE_ROOT_PATH");
    if (init_parts() < 0 ||
        (root && (add_path(root, NULL) < 0 || add_path(root, "extra-python-packages") < 0))) {
        return python_error(err, "cannot prepare the interpreter");
    }
    /* A call leaves little behind; the default of 700 would collect every few calls. */
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *done = gc ? PyObject_CallMethod(gc, "set_threshold", "iii", 5000, 10, 10) : NULL;
    Py_XDECREF(done);
    Py_XDECREF(gc);
    if (done == NULL) {
        return python_error(err, "cannot tune the collector");
    }
    rehearse();
    shim.dirty = true;
    return TN_OK;
}

static void py_freeze(void)
{
    if (!shim.dirty) {
        return;
    }
    PyGC_Collect();
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *done = gc ? PyObject_CallMethod(gc, "freeze", NULL) : NULL;
    Py_XDECREF(done);
    Py_XDECREF(gc);
    PyErr_Clear();
    settle();
    shim.dirty = false;
}

/* tempfile and whatever else a script starts find the scratch folder; programs that keep things in the
 * home folder have it there too. */
static int set_folders(const char *scratch)
{
    static const char *const names[] = {"TMPDIR", "HOME"};
    PyObject *os = PyImport_ImportModule("os"), *vars = NULL, *path = NULL;
    int rc = os && (vars = PyObject_GetAttrString(os, "environ")) ? 0 : -1;
    path = rc == 0 ? PyUnicode_DecodeFSDefault(scratch) : NULL;
    for (size_t i = 0; path && rc == 0 && i < sizeof(names) / sizeof(*names); i++) {
        rc = PyMapping_SetItemString(vars, names[i], path);
    }
    rc = path ? rc : -1;
    Py_XDECREF(path);
    Py_XDECREF(vars);
    Py_XDECREF(os);
    return rc;
}

static tn_rc py_child(const struct lang_env *env, tn_err *err)
{
    /* The zygote has one thread and never forks for itself, so the half that belongs before the fork is
     * as good here; the halves need each other since 3.13. */
    PyOS_BeforeFork();
    PyOS_AfterFork_Child(); /* locks, thread ids, and random through its own hook */
    shim.env = *env;
    shim.have_env = true;
    shim.in_child = true;
    if (env->scratch != NULL && set_folders(env->scratch) < 0) {
        return python_error(err, "cannot set the folder for temporary files");
    }
    shim.main_thread = PyEval_SaveThread();
    return TN_OK;
}

static void py_finish(void)
{
    if (!shim.in_child) {
        return;
    }
    if (shim.main_thread != NULL) {
        PyEval_RestoreThread(shim.main_thread);
        shim.main_thread = NULL;
    }
    PyObject *m = PyImport_ImportModule("atexit");
    PyObject *done = m ? PyObject_CallMethod(m, "_run_exitfuncs", NULL) : NULL;
    Py_XDECREF(done);
    Py_XDECREF(m);
    PyErr_Clear();
}

/* Of the interpreter, which may be newer than the headers: a minor release keeps its library's name. */
static const char *py_version(void)
{
    static char number[16];
    snprintf(number, sizeof(number), "%.*s", (int)strcspn(Py_GetVersion(), " "), Py_GetVersion());
    return number;
}

const struct lang_host lang_python = {
    .size = sizeof(struct lang_host),
    .name = "python",
    .boot = py_boot,
    .preload = code_preload,
    .unload = code_unload,
    .freeze = py_freeze,
    .child = py_child,
    .run = shim_run,
    .idle = shim_idle,
    .soft_timeout = timeout_soft,
    .dump_stacks = timeout_dump,
    .finish = py_finish,
    .version = py_version,
};
