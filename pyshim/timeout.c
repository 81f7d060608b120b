/* SPDX-License-Identifier: Apache-2.0 */
/* The soft deadline, or a cancel: a signal in the worker becomes TaskTimeout in the script's main thread. */
#include "pyshim/shim.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* CPython's own mechanism is used: tripping a signal is async-signal-safe, ends sleeps and other
 * interrupted system calls, and runs a handler between two bytecodes of the main thread. The number
 * is one nobody sends; scripts keep SIGALRM and the rest for themselves. */
#define TRIP_SIGNAL (SIGRTMAX - 3)

static volatile sig_atomic_t expired, canceled_, running;

/* Not every build of every version exports it. Elsewhere faulthandler, which has it inside, answers a
 * signal that we raise; it writes to a descriptor that was fixed at the start. */
extern const char *_Py_DumpTracebackThreads(int fd, PyInterpreterState *interp,
                                            PyThreadState *tstate) __attribute__((weak));

static PyObject *on_trip(PyObject *self, PyObject *args)
{
    (void)self;
    (void)args;
    if (!running || !expired) {
        Py_RETURN_NONE;
    }
    expired = 0;
    PyErr_SetString(shim.timeout_type,
                    canceled_
                        ? "Task was cancelled and has been interrupted by force"
                        : "Task execution takes too much time and has been interrupted by force");
    return NULL;
}

static PyMethodDef trip_method = {"on_soft_timeout", on_trip, METH_VARARGS, NULL};

#define STACK_SIGNAL (SIGRTMAX - 4)
#define STACK_FD     900

static int stacks_init(void)
{
    if (_Py_DumpTracebackThreads != NULL) {
        return 0;
    }
    PyObject *m = PyImport_ImportModule("faulthandler");
    PyObject *f = m ? PyObject_GetAttrString(m, "register") : NULL;
    PyObject *done = f ? PyObject_CallFunction(f, "iiii", STACK_SIGNAL, STACK_FD, 1, 0) : NULL;
    Py_XDECREF(done);
    Py_XDECREF(f);
    Py_XDECREF(m);
    return done ? 0 : -1;
}

int timeout_init(void)
{
    if (stacks_init() < 0) {
        return -1;
    }
    PyObject *handler = PyCFunction_New(&trip_method, NULL);
    PyObject *signals = handler ? PyImport_ImportModule("_signal") : NULL;
    PyObject *old = signals ? PyObject_CallMethod(signals, "signal", "iO", TRIP_SIGNAL, handler)
                            : NULL;
    int rc = old ? 0 : -1;
    Py_XDECREF(old);
    Py_XDECREF(signals);
    Py_XDECREF(handler);
    return rc;
}

void timeout_begin(void)
{
    expired = 0;
    running = 1;
}

void timeout_end(void)
{
    running = 0;
}

bool timeout_pending(void)
{
    return expired != 0;
}

void timeout_soft(int canceled)
{
    canceled_ = canceled;
    expired = 1;
#if PY_VERSION_HEX >= 0x030A0000
    PyErr_SetInterruptEx(TRIP_SIGNAL);
#else
    /* The handler that CPython installed for the number does the same. */
    struct sigaction sa;
    if (sigaction(TRIP_SIGNAL, NULL, &sa) == 0 && !(sa.sa_flags & SA_SIGINFO) &&
        sa.sa_handler != SIG_DFL && sa.sa_handler != SIG_IGN) {
        sa.sa_handler(TRIP_SIGNAL);
    }
#endif
}

void timeout_dump(int fd)
{
    if (_Py_DumpTracebackThreads == NULL) {
        /* The worker is about to be killed: taking over a number of its own harms nobody. */
        if (dup2(fd, STACK_FD) >= 0) {
            raise(STACK_SIGNAL);
            close(STACK_FD);
        }
        return;
    }
    const char *failed = _Py_DumpTracebackThreads(fd, NULL, PyGILState_GetThisThreadState());
    if (failed != NULL && write(fd, failed, strlen(failed)) < 0) {
        return;
    }
}
