/* SPDX-License-Identifier: Apache-2.0 */
/* Module _tenon: what the Python sources of the shim need from C. Not for scripts. */
#include "pyshim/shim.h"

#include "kernel/base/str.h"

#define ANSWER_MAX (64u << 20)

PyObject *bridge_ask(const char *service, tn_str payload, tn_rc *ret_rc)
{
    struct buf answer = BUF_INIT(ANSWER_MAX);
    tn_err err = TN_ERR_INIT;
    PyObject *ret = NULL;
    tn_rc rc;
    if (!shim.in_child) {
        PyErr_SetString(PyExc_RuntimeError, "the hub can only be asked inside a worker");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS rc = shim.env.ask(shim.env.ctx, service, payload, &answer, &err);
    Py_END_ALLOW_THREADS *ret_rc = rc;
    if (rc == TN_OK) {
        ret = PyBytes_FromStringAndSize(answer.data ? answer.data : "", (Py_ssize_t)answer.len);
    } else if (rc != TN_E_NOTFOUND) {
        PyErr_Format(PyExc_RuntimeError, "%s: %s", service, err.msg[0] ? err.msg : "no answer");
    }
    buf_finish(&answer);
    return ret;
}

/* ask(service: str, payload: str | bytes) -> bytes, None when there is no such thing */
static PyObject *py_ask(PyObject *self, PyObject *args)
{
    const char *service;
    Py_buffer payload;
    tn_rc rc = TN_OK;
    (void)self;
    if (!PyArg_ParseTuple(args, "ss*", &service, &payload)) {
        return NULL;
    }
    PyObject *ret = bridge_ask(service, (tn_str){payload.buf, (size_t)payload.len}, &rc);
    PyBuffer_Release(&payload);
    if (ret == NULL && !PyErr_Occurred()) {
        Py_RETURN_NONE;
    }
    return ret;
}

/* call(service: str, payload: str | bytes) -> (rc, bytes): refusals are the caller's to word */
static PyObject *py_call(PyObject *self, PyObject *args)
{
    const char *service;
    Py_buffer payload;
    struct buf answer = BUF_INIT(ANSWER_MAX);
    tn_err err = TN_ERR_INIT;
    tn_rc rc;
    (void)self;
    if (!shim.in_child) {
        return PyErr_Format(PyExc_RuntimeError, "the hub can only be asked inside a worker");
    }
    if (!PyArg_ParseTuple(args, "ss*", &service, &payload)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    rc = shim.env.ask(shim.env.ctx, service, (tn_str){payload.buf, (size_t)payload.len}, &answer,
                      &err);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&payload);
    tn_str text = rc == TN_OK ? buf_str(&answer) : str_of(err.msg);
    PyObject *ret = Py_BuildValue("(iy#)", (int)rc, text.s, (Py_ssize_t)text.n);
    buf_finish(&answer);
    return ret;
}

static struct task *need_task(void)
{
    if (shim.task == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no call is running");
    }
    return shim.task;
}

/* info() -> dict of what the running task was asked to do; args, vars as JSON text */
static PyObject *py_info(PyObject *self, PyObject *unused)
{
    struct task *t = need_task();
    (void)self;
    (void)unused;
    if (t == NULL) {
        return NULL;
    }
    const struct lang_call *c = t->call;
    return Py_BuildValue("{sNsNsNsNsNsNsNsLsLsksksksO}", "id", str_py(c->task_id), "script",
                         str_py(c->script), "func", str_py(c->func), "origin", str_py(c->origin),
                         "originId", str_py(c->origin_id), "args", str_py(c->args), "vars",
                         str_py(c->vars), "triggerUs", (long long)c->trigger_us, "startUs",
                         (long long)t->start_us, "queue", (unsigned long)c->queue, "timeoutMs",
                         (unsigned long)c->timeout_ms, "expiresMs", (unsigned long)c->expires_ms,
                         "http", t->http ? t->http : Py_None);
}

/* setting(name: str) -> str | None */
static PyObject *py_setting(PyObject *self, PyObject *name)
{
    const char *p = PyUnicode_AsUTF8(name), *v;
    (void)self;
    if (p == NULL) {
        return NULL;
    }
    v = shim.have_env ? shim.env.setting(shim.env.ctx, p) : NULL;
    if (v == NULL) {
        Py_RETURN_NONE;
    }
    return PyUnicode_FromString(v);
}

/* loads(text: str | bytes) -> value */
static PyObject *py_loads(PyObject *self, PyObject *args)
{
    Py_buffer text;
    (void)self;
    if (!PyArg_ParseTuple(args, "s*", &text)) {
        return NULL;
    }
    PyObject *v = value_in((tn_str){text.buf, (size_t)text.len});
    PyBuffer_Release(&text);
    return v;
}

/* dumps(value) -> str, by the rules of return values */
static PyObject *py_dumps(PyObject *self, PyObject *v)
{
    struct buf out = BUF_INIT(0);
    (void)self;
    PyObject *ret = value_out(&out, v) < 0 ? NULL : str_py(buf_str(&out));
    buf_finish(&out);
    return ret;
}

/* dumps_plain(value) -> bytes of ASCII, with floats and escapes as Python's encoder writes them */
static PyObject *py_dumps_plain(PyObject *self, PyObject *v)
{
    struct buf out = BUF_INIT(0);
    (void)self;
    PyObject *ret = value_out_plain(&out, v) < 0
                        ? NULL
                        : PyBytes_FromStringAndSize(buf_str(&out).s, (Py_ssize_t)out.len);
    buf_finish(&out);
    return ret;
}

static PyObject *py_print_line(PyObject *self, PyObject *text)
{
    Py_ssize_t n;
    const char *p = PyUnicode_AsUTF8AndSize(text, &n);
    (void)self;
    if (p == NULL || print_line(p, n) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* state() -> dict of the running task */
static PyObject *py_state(PyObject *self, PyObject *unused)
{
    struct task *t = need_task();
    (void)self;
    (void)unused;
    if (t != NULL && t->state == NULL) {
        t->state = PyDict_New();
    }
    return t ? Py_XNewRef(t->state) : NULL;
}

/* task() -> (task id, data generation, result ttl in s, debug) */
static PyObject *py_task(PyObject *self, PyObject *unused)
{
    struct task *t = need_task();
    (void)self;
    (void)unused;
    if (t == NULL) {
        return NULL;
    }
    const struct lang_call *c = t->call;
    return Py_BuildValue("(NKkN)", str_py(c->task_id), (unsigned long long)c->data_gen,
                         (unsigned long)c->result_ttl, PyBool_FromLong(t->debug));
}

/* add_secret(text): the running task has read it; its lines shall not show it */
static PyObject *py_add_secret(PyObject *self, PyObject *text)
{
    struct task *t = need_task();
    Py_ssize_t i = 0;
    (void)self;
    if (t == NULL || !PyUnicode_Check(text)) {
        return t ? PyErr_Format(PyExc_TypeError, "a secret is text") : NULL;
    }
    if (t->secrets == NULL && (t->secrets = PyList_New(0)) == NULL) {
        return NULL;
    }
    int known = PySequence_Contains(t->secrets, text);
    if (known == 0 && PyUnicode_GET_LENGTH(text) != 0) {
        while (i < PyList_GET_SIZE(t->secrets) &&
               PyUnicode_GET_LENGTH(PyList_GET_ITEM(t->secrets, i)) >= PyUnicode_GET_LENGTH(text)) {
            i++;
        }
        known = PyList_Insert(t->secrets, i, text);
    }
    if (known < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* interrupt(thread ident): TaskTimeout is raised in that thread when it next runs Python code */
static PyObject *py_interrupt(PyObject *self, PyObject *ident)
{
    unsigned long id = PyLong_AsUnsignedLong(ident);
    (void)self;
    if (PyErr_Occurred()) {
        return NULL;
    }
    return PyLong_FromLong(PyThreadState_SetAsyncExc(id, shim.timeout_type));
}

/* retire(): threads of this task would not end */
static PyObject *py_retire(PyObject *self, PyObject *unused)
{
    struct task *t = need_task();
    (void)self;
    (void)unused;
    if (t == NULL) {
        return NULL;
    }
    t->retire = true;
    Py_RETURN_NONE;
}

/* source(script id) -> str | None */
static PyObject *py_source(PyObject *self, PyObject *id)
{
    (void)self;
    PyObject *s = PyUnicode_Check(id) ? code_source(id) : NULL;
    return Py_NewRef(s ? s : Py_None);
}

/* entry() -> script id of the running call | None */
static PyObject *py_entry(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    PyObject *id = shim.task && shim.task->entry ? shim.task->entry->id : Py_None;
    return Py_NewRef(id);
}

/* limit(kind: str) -> str | None: the sentence about a limit that was met. The process ends after such a call:
 * what used up the limit may still be there (children, descriptors, memory of a library). */
static PyObject *py_limit(PyObject *self, PyObject *kind)
{
    char text[300];
    const char *p = PyUnicode_AsUTF8(kind);
    (void)self;
    if (p == NULL) {
        return NULL;
    }
    if (!shim.in_child || shim.env.limit == NULL ||
        !shim.env.limit(shim.env.ctx, p, text, sizeof(text))) {
        Py_RETURN_NONE;
    }
    if (shim.task != NULL) {
        shim.task->retire = true;
    }
    return PyUnicode_FromString(text);
}

static PyMethodDef bridge_methods[] = {
    {"ask", py_ask, METH_VARARGS, NULL},
    {"call", py_call, METH_VARARGS, NULL},
    {"info", py_info, METH_NOARGS, NULL},
    {"setting", py_setting, METH_O, NULL},
    {"loads", py_loads, METH_VARARGS, NULL},
    {"dumps", py_dumps, METH_O, NULL},
    {"dumps_plain", py_dumps_plain, METH_O, NULL},
    {"print_line", py_print_line, METH_O, NULL},
    {"state", py_state, METH_NOARGS, NULL},
    {"task", py_task, METH_NOARGS, NULL},
    {"add_secret", py_add_secret, METH_O, NULL},
    {"interrupt", py_interrupt, METH_O, NULL},
    {"limit", py_limit, METH_O, NULL},
    {"retire", py_retire, METH_NOARGS, NULL},
    {"source", py_source, METH_O, NULL},
    {"entry", py_entry, METH_NOARGS, NULL},
    {"aes_cbc", crypt_aes_cbc, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef bridge_def = {PyModuleDef_HEAD_INIT, .m_name = "_tenon", .m_size = -1,
                                        .m_methods = bridge_methods};

PyMODINIT_FUNC shim_bridge_init(void)
{
    PyObject *m = PyModule_Create(&bridge_def);
    if (m != NULL && conn_init(m) < 0) {
        Py_CLEAR(m);
    }
    return m;
}
