/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts: compiled code by id, checked once per generation, kept across calls and forks. */
#include "pyshim/shim.h"

#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include <marshal.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (64u << 20)
#define FOLD_MAX   (512 << 10) /* of a text that is looked at more closely */

void code_free(struct script *s)
{
    if (s == NULL) {
        return;
    }
    keep_free(s);
    Py_XDECREF(s->globals);
    Py_XDECREF(s->code);
    Py_XDECREF(s->portable);
    Py_XDECREF(s->source);
    Py_XDECREF(s->func_name);
    Py_XDECREF(s->func_id);
    Py_XDECREF(s->origin);
    Py_XDECREF(s->origin_id);
    Py_XDECREF(s->set_id);
    Py_XDECREF(s->id);
    free(s);
}

static struct script *script_new(tn_str id)
{
    struct script *s = calloc(1, sizeof(*s));
    const char *sep = id.n ? memmem(id.s, id.n, "__", 2) : NULL;
    if (s == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    s->id = str_py(id);
    s->set_id = str_py(sep ? (tn_str){id.s, (size_t)(sep - id.s)} : id);
    if (s->id == NULL || s->set_id == NULL) {
        code_free(s);
        return NULL;
    }
    PyUnicode_InternInPlace(&s->id);
    return s;
}

/* The table's entry, made when it is new. */
static struct script *script_entry(tn_str id)
{
    struct script *s = map_get(&shim.scripts, id);
    if (s != NULL) {
        return s;
    }
    s = script_new(id);
    if (s != NULL && map_put(&shim.scripts, id, s, NULL) < 0) {
        code_free(s);
        PyErr_NoMemory();
        return NULL;
    }
    return s;
}

PyObject *code_compile(PyObject *source, PyObject *id)
{
    /* The builtin, not the C function: it takes text with its own rules about NUL and encodings.
     * Flags 0, and none are inherited from whoever runs. */
    return PyObject_CallFunction(shim.compile, "OOsii", source, id, "exec", 0, 1);
}

/* The same for a published script; decorators with literal options become constants. Returns the form that
 * can be marshalled. */
static PyObject *compile_script(PyObject *source, PyObject *id)
{
    static const char api[] = "DFF.";
    Py_ssize_t n = 0;
    const char *p = PyUnicode_AsUTF8AndSize(source, &n);
    if (p != NULL && n <= FOLD_MAX && memmem(p, (size_t)n, api, sizeof(api) - 1) != NULL) {
        PyObject *code = PyObject_CallMethod(shim.m_fold, "compile_script", "OO", source, id);
        if (code != NULL && PyCode_Check(code)) {
            return code;
        }
        Py_XDECREF(code);
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) {
            return NULL; /* the call's time is over */
        }
    }
    PyErr_Clear();
    return code_compile(source, id);
}

/* What the text of a script tells about what it needs, so that others do not pay for it. */
static void look_at_source(struct script *s)
{
    /* These find the module of a class by its name in sys.modules. */
    static const char *const by_name[] = {"dataclass", "__future__",      "typing", "pickle",
                                          "pydantic",  "multiprocessing", "attr"};
    static const char request[] = "_DFF_HTTP_REQUEST";
    Py_ssize_t n = 0;
    const char *p = s->source ? PyUnicode_AsUTF8AndSize(s->source, &n) : NULL;
    s->uses_request = s->uses_modules = false;
    if (p == NULL) {
        PyErr_Clear();
        return;
    }
    /* C code (json.dumps and the like) reads a dict without asking it: the request gets parsed. */
    s->uses_request = memmem(p, (size_t)n, request, sizeof(request) - 1) != NULL;
    for (size_t i = 0; i < sizeof(by_name) / sizeof(by_name[0]); i++) {
        s->uses_modules |= memmem(p, (size_t)n, by_name[i], strlen(by_name[i])) != NULL;
    }
}

/* Replaces what the entry runs; steals both references, also when it fails. */
static int script_set(struct script *s, PyObject *portable_take, PyObject *source_take)
{
    PyObject *code = portable_take ? api_constants(portable_take) : NULL;
    if (portable_take != NULL && code == NULL) {
        Py_DECREF(portable_take);
        Py_XDECREF(source_take);
        return -1;
    }
    keep_free(s);
    s->imports = code ? api_defines(code) : NULL;
    s->misses = 0;
    Py_XSETREF(s->code, code);
    Py_XSETREF(s->portable, portable_take);
    Py_XSETREF(s->source, source_take);
    Py_CLEAR(s->globals);
    Py_CLEAR(s->func_name);
    Py_CLEAR(s->func_id);
    Py_CLEAR(s->origin);
    Py_CLEAR(s->origin_id);
    look_at_source(s);
    s->md5[0] = '\0';
    return 0;
}

static int script_load_source(struct script *s, tn_str text)
{
    PyObject *source = PyUnicode_DecodeUTF8(text.s, (Py_ssize_t)text.n, "strict");
    PyObject *code = source ? compile_script(source, s->id) : NULL;
    if (code == NULL) {
        /* The text is kept: the report of a syntax error needs no code object. */
        Py_XDECREF(source);
        return -1;
    }
    return script_set(s, code, source) < 0 ? -1 : crypt_md5(text.s, text.n, s->md5);
}

/* The compiled form is marshal of (code, source): only the zygote makes it, tracebacks need both. */
static int script_load_marshal(struct script *s, tn_str data)
{
    PyObject *pair = PyMarshal_ReadObjectFromString(data.s, (Py_ssize_t)data.n);
    if (pair == NULL) {
        return -1;
    }
    if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 ||
        !PyCode_Check(PyTuple_GET_ITEM(pair, 0)) || !PyBytes_Check(PyTuple_GET_ITEM(pair, 1))) {
        Py_DECREF(pair);
        PyErr_Format(PyExc_ValueError, "the compiled form of %U is not one of ours", s->id);
        return -1;
    }
    PyObject *code = Py_NewRef(PyTuple_GET_ITEM(pair, 0)), *bytes = PyTuple_GET_ITEM(pair, 1);
    PyObject *source = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes),
                                            "strict");
    int rc = -1;
    if (source == NULL) {
        Py_DECREF(code);
    } else if (script_set(s, code, source) == 0) {
        rc = crypt_md5(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes), s->md5);
    }
    Py_DECREF(pair);
    return rc;
}

/* "kind" of the answer's first line, or NULL with an exception. */
static PyObject *answer_kind(tn_str line, PyObject **ret_head)
{
    PyObject *head = value_in_dict(line, "the answer of code.get"), *kind;
    if (head == NULL) {
        return NULL;
    }
    kind = PyDict_GetItemString(head, "kind");
    if (kind == NULL || !PyUnicode_Check(kind)) {
        PyErr_SetString(PyExc_ValueError, "the answer of code.get has no \"kind\"");
        Py_DECREF(head);
        return NULL;
    }
    *ret_head = head;
    return kind;
}

static int script_take_answer(struct script *s, tn_str answer)
{
    const char *eol = memchr(answer.s, '\n', answer.n);
    tn_str line = {answer.s, eol ? (size_t)(eol - answer.s) : answer.n}, rest = {"", 0};
    PyObject *head = NULL, *kind = answer_kind(line, &head);
    int rc = -1;
    if (kind == NULL) {
        return -1;
    }
    if (eol != NULL) {
        rest = (tn_str){eol + 1, answer.n - line.n - 1};
    }
    if (PyUnicode_CompareWithASCIIString(kind, "same") == 0 && s->code != NULL) {
        rc = 0;
    } else if (PyUnicode_CompareWithASCIIString(kind, "source") == 0) {
        rc = script_load_source(s, rest);
    } else if (PyUnicode_CompareWithASCIIString(kind, "marshal") == 0) {
        rc = script_load_marshal(s, rest);
    } else {
        PyErr_Format(PyExc_ValueError, "code.get answered kind %R for %U", kind, s->id);
    }
    Py_DECREF(head);
    return rc;
}

/* Asks the hub whether our copy still counts. */
static int script_check(struct script *s, tn_str id, uint64_t generation)
{
    struct buf ask = BUF_INIT(4096), answer = BUF_INIT(ANSWER_MAX);
    tn_err err = TN_ERR_INIT;
    uint64_t serial = shim.serial;
    tn_rc rc;
    int ret = -1;
    buf_adds(&ask, "{\"script\":");
    buf_quote(&ask, id);
    buf_adds(&ask, ",\"have\":");
    buf_quote(&ask, str_of(s->code ? s->md5 : ""));
    buf_addc(&ask, '}');
    if (ask.failed) {
        PyErr_SetString(PyExc_ValueError, "the script id is too long");
        goto undo_bufs;
    }
    Py_BEGIN_ALLOW_THREADS rc = shim.env.ask(shim.env.ctx, "code.get", buf_str(&ask), &answer,
                                             &err);
    Py_END_ALLOW_THREADS if (!task_goes_on(serial))
    {
        goto undo_bufs;
    }
    if (rc == TN_OK) {
        ret = script_take_answer(s, buf_str(&answer));
    } else if (rc == TN_E_NOTFOUND) {
        ret = script_set(s, NULL, NULL);
    } else {
        PyErr_Format(PyExc_RuntimeError, "cannot load script %U: %s", s->id, err.msg);
    }
    Py_CLEAR(s->portable); /* a worker passes nothing on */
    if (ret == 0) {
        s->generation = generation;
    }
undo_bufs:
    buf_finish(&answer);
    buf_finish(&ask);
    return ret;
}

struct script *code_get(tn_str id, bool *ret_missing)
{
    uint64_t generation = shim.task->call->generation;
    struct script *s = script_entry(id);
    *ret_missing = false;
    if (s == NULL || (s->generation != generation && script_check(s, id, generation) < 0)) {
        return NULL;
    }
    if (s->code == NULL) {
        *ret_missing = true;
        return NULL;
    }
    return s;
}

struct script *code_draft(tn_str id, tn_str source)
{
    struct script *s = script_new(id);
    if (s == NULL) {
        return NULL;
    }
    s->source = PyUnicode_DecodeUTF8(source.s ? source.s : "", (Py_ssize_t)source.n, "strict");
    s->code = s->source ? code_compile(s->source, s->id) : NULL;
    if (s->code == NULL) {
        code_free(s);
        return NULL;
    }
    look_at_source(s);
    return s;
}

static int marshal_out(const struct script *s, struct buf *out)
{
    PyObject *bytes = PyUnicode_AsUTF8String(s->source), *pair = NULL, *data = NULL;
    int rc = -1;
    if (bytes != NULL) {
        pair = PyTuple_Pack(2, s->portable, bytes);
        data = pair ? PyMarshal_WriteObjectToString(pair, Py_MARSHAL_VERSION) : NULL;
    }
    if (data != NULL) {
        rc = buf_add(out, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data));
        if (rc < 0) {
            PyErr_SetString(PyExc_MemoryError, "the compiled form is too large");
        }
    }
    Py_XDECREF(data);
    Py_XDECREF(pair);
    Py_XDECREF(bytes);
    return rc;
}

/* The exception that is set, as text of an error; clears it. */
static tn_rc err_python(tn_err *err, const char *what, tn_str id)
{
    PyObject *type, *value, *trace, *text;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    text = value ? PyObject_Str(value) : NULL;
    const char *p = text ? PyUnicode_AsUTF8(text) : NULL;
    PyErr_Clear();
    tn_rc rc = err_set(err, TN_E_INVAL, "%s %.*s: %s: %s", what, (int)id.n, id.s,
                       type ? ((PyTypeObject *)type)->tp_name : "error", p ? p : "");
    Py_XDECREF(text);
    Py_XDECREF(trace);
    Py_XDECREF(value);
    Py_XDECREF(type);
    return rc;
}

tn_rc code_preload(tn_str id, uint64_t generation, tn_str source, tn_str marshal,
                   struct buf *ret_marshal, tn_err *err)
{
    struct script *s = script_entry(id);
    if (s == NULL) {
        return err_python(err, "cannot keep script", id);
    }
    if ((marshal.n ? script_load_marshal(s, marshal) : script_load_source(s, source)) < 0) {
        return err_python(err, "cannot compile script", id);
    }
    s->generation = generation;
    shim.dirty = true;
    int rc = ret_marshal != NULL ? marshal_out(s, ret_marshal) : 0;
    Py_CLEAR(s->portable); /* nobody asks for it again */
    if (rc < 0) {
        return err_python(err, "cannot keep the compiled form of", id);
    }
    return TN_OK;
}

void code_unload(tn_str id)
{
    code_free(map_del(&shim.scripts, id));
    shim.dirty = true;
}

PyObject *code_source(PyObject *id)
{
    Py_ssize_t n;
    const char *p = PyUnicode_AsUTF8AndSize(id, &n);
    struct task *t = shim.task;
    if (p == NULL) {
        PyErr_Clear();
        return NULL;
    }
    if (t != NULL && t->entry != NULL && PyUnicode_Compare(t->entry->id, id) == 0) {
        return t->entry->source;
    }
    struct script *s = map_get(&shim.scripts, (tn_str){p, (size_t)n});
    return s ? s->source : NULL;
}
