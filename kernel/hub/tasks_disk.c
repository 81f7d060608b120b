/* SPDX-License-Identifier: Apache-2.0 */
/* What a failing jobs.db means: for who asked (in words without paths, they may go to anybody), and for
 * the log (once in a while, however many tasks wait). */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/hub/tasks_int.h"
#include <string.h>

#define COMPLAIN_NS (5 * NS_PER_S)

static const struct {
    const char *state; /* SQLSTATE of the connector or of side.c; the last row is for all others */
    tn_rc rc;
    const char *text;
} refusals[] = {
    {"53100", TN_E_LIMIT,
     "the disk of jobs.db is full; nothing was accepted, and it goes on by itself when there is space "
     "again"},
    {"40003", TN_E_UNAVAIL,
     "a sync of jobs.db to the disk failed; whether the call was accepted is not known: send it again "
     "with the same Idempotency-Key"},
    {"55P03", TN_E_UNAVAIL,
     "another process keeps jobs.db locked; nothing was accepted, try again"},
    {"58030", TN_E_UNAVAIL,
     "jobs.db cannot be written (I/O error); nothing was accepted, the log says more"},
    {"", TN_E_UNAVAIL, "jobs.db takes no changes now; nothing was accepted, the log says more"},
};

void tk_complain(struct tasks *t, const char *what, const char *why)
{
    uint64_t now = clock_mono_ns();
    uint64_t last = atomic_load(&t->complained_ns);
    if ((last == 0 || now - last >= COMPLAIN_NS) &&
        atomic_compare_exchange_strong(&t->complained_ns, &last, now)) {
        log_warn("tasks: %s: %s", what, why);
    }
}

tn_rc tk_refusal(struct tasks *t, tn_rc rc, tn_err *err)
{
    size_t i = 0, last = sizeof refusals / sizeof refusals[0] - 1;
    if (rc != TN_E_REMOTE && rc != TN_E_UNAVAIL && rc != TN_E_DENIED &&
        strcmp(err->state, "55P03") != 0) { /* a lock that outlasted the deadline */
        return rc;
    }
    tk_complain(t, "accepting", err->msg);
    while (i < last && strcmp(refusals[i].state, err->state) != 0) {
        i++;
    }
    err_set(err, refusals[i].rc, "%s", refusals[i].text);
    memcpy(err->state, refusals[i].state, strlen(refusals[i].state) + 1);
    return err->rc;
}
