/* SPDX-License-Identifier: Apache-2.0 */
/* In-process overhead: the full call of the typical script against its bare exec + call, in the same
 * process and in turn. Prints microseconds and the ratio; `driver --bench`. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernel/base/clock.h"
#include "tests/pyshim/driver.h"
#include "tests/pyshim/fake_env.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 15
#define CALLS  20000

static const char head[] = "import json\nimport math\nfrom datetime import datetime\n"
                           "CONFIG = {'a': 1, 'b': [1, 2, 3], 'c': 'text'}\n";

/* 10 functions, 3 imports, 1 dict. */
static char *typical(const char *decorator)
{
    struct buf b = BUF_INIT(0);
    buf_adds(&b, head);
    for (int i = 0; i < 10; i++) {
        if (decorator) {
            buf_printf(&b, decorator, i);
        }
        buf_printf(&b, "def f%d(x, y=2):\n    '''Adds.'''\n    return {'result': x + y}\n\n", i);
    }
    return buf_take(&b, NULL);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double full_call(struct lang_reply *r, const char *script)
{
    struct lang_call c = {
        .task_id = TN_STR("task-000000000001"),
        .origin = TN_STR("syncAPI"),
        .script = {script, strlen(script)},
        .func = TN_STR("f3"),
        .origin_id = TN_STR("sync-1"),
        .trigger_us = 1767225600123456,
        .timeout_ms = 35000,
        .queue = 1,
        .args = TN_STR("{\"x\":1,\"y\":2}"),
        .http = TN_STR("{\"method\":\"GET\",\"url\":\"/api/v1/sync/x\",\"headers\":{}}"),
        .generation = 1 << 20};
    uint64_t from = clock_mono_ns();
    for (int i = 0; i < CALLS; i++) {
        c.start_ns = clock_mono_ns();
        c.start_us = (int64_t)(c.start_ns / 1000);
        buf_clear(&r->value);
        buf_clear(&r->error);
        lang_python.run(&c, r);
    }
    if (r->status != TN_CALL_SUCCESS || strcmp(r->value.data, "{\"result\":3}") != 0) {
        printf("wrong answer: %s %s\n", buf_str(&r->value).s, buf_str(&r->error).s);
        exit(1);
    }
    return (double)(clock_mono_ns() - from) / 1000 / CALLS;
}

/* What nobody can avoid: globals, exec, the call, freeing the module; undecorated functions. */
static double bare_call(PyObject *code, PyObject *base, PyObject *kwargs)
{
    PyObject *name = PyUnicode_InternFromString("f3");
    uint64_t from = clock_mono_ns();
    for (int i = 0; i < CALLS; i++) {
        PyObject *g = PyDict_Copy(base);
        Py_XDECREF(PyEval_EvalCode(code, g, g));
        Py_XDECREF(PyObject_VectorcallDict(PyDict_GetItem(g, name), NULL, 0, kwargs));
        PyDict_Clear(g);
        Py_DECREF(g);
    }
    Py_DECREF(name);
    return (double)(clock_mono_ns() - from) / 1000 / CALLS;
}

static PyObject *compiled(const char *text, const char *name)
{
    PyObject *c = Py_CompileString(text, name, Py_file_input);
    if (c == NULL) {
        PyErr_Print();
        exit(1);
    }
    return c;
}

int bench(void)
{
    struct lang_reply r = {.value = BUF_INIT(0), .control = BUF_INIT(0), .error = BUF_INIT(0)};
    double t[5][ROUNDS];
    char *decorated = typical("@DFF.API('Function %d', category='math', tags=['a', 'b'])\n");
    char *plain = typical(NULL);
    fake_set(&fake.scripts, "demo__typical", decorated);
    fake_set(&fake.scripts, "demo__plain", plain);
    full_call(&r, "demo__typical");
    full_call(&r, "demo__plain");
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *base = PyDict_New(), *kwargs = Py_BuildValue("{s:i,s:i}", "x", 1, "y", 2);
    PyObject *bare = compiled(plain, "bare");
    PyDict_SetItemString(base, "__builtins__", PyEval_GetBuiltins());
    PyDict_SetItemString(base, "__name__", Py_None);
    PyGILState_Release(gil);
    for (int i = 0; i < ROUNDS; i++) {
        t[0][i] = full_call(&r, "demo__typical");
        t[1][i] = full_call(&r, "demo__plain");
        gil = PyGILState_Ensure();
        t[2][i] = bare_call(bare, base, kwargs);
        PyGILState_Release(gil);
        t[3][i] = t[1][i] / t[2][i];
        t[4][i] = t[0][i] / t[2][i];
    }
    for (int i = 0; i < 5; i++) {
        qsort(t[i], ROUNDS, sizeof(double), by_value);
    }
    printf("full call, 10 decorated functions, 3 imports  %6.2f us (best %.2f)\n", t[0][ROUNDS / 2],
           t[0][0]);
    printf("full call, the same without decorators        %6.2f us (best %.2f)\n", t[1][ROUNDS / 2],
           t[1][0]);
    printf("bare exec + call without decorators           %6.2f us (best %.2f)\n", t[2][ROUNDS / 2],
           t[2][0]);
    printf("in-process overhead (same script: full / bare)  %.2f\n", t[3][ROUNDS / 2]);
    printf("with the ten decorators on top                  %.2f\n", t[4][ROUNDS / 2]);
    free(decorated);
    free(plain);
    return 0;
}
