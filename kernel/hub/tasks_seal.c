/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP request that a durable call came with is sealed while it lies in the file: its headers hold
 * cookies and authorizations, and the file may be copied by whoever makes backups. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/hub/tasks_int.h"
#include "kernel/store/store.h"

#include <stdio.h>

static tn_str place_of(const struct job *j, char *text, size_t n)
{
    int len = snprintf(text, n, "tn_task|http|%.*s", (int)j->id.n, j->id.s != NULL ? j->id.s : "");
    return (tn_str){text, len > 0 && (size_t)len < n ? (size_t)len : 0};
}

/* The text becomes the job's, in its own memory; b is finished. */
static tn_rc keep(struct job *j, struct buf *b, tn_rc rc, tn_err *err)
{
    if (rc == TN_OK) {
        char *copy = arena_dup(&j->mem, buf_str(b));
        rc = copy != NULL ? TN_OK : err_set(err, TN_E_NOMEM, "no memory for a task");
        j->http = copy != NULL ? (tn_str){copy, b->len} : j->http;
    }
    buf_finish(b);
    return rc;
}

tn_rc tk_seal_http(struct tasks *t, struct job *j, tn_err *err)
{
    char place[128];
    struct buf b = BUF_INIT(0);
    if (j->http.n <= 2) { /* nothing, or {} */
        return TN_OK;
    }
    return keep(j, &b, keys_seal(t->hub->keys, j->http, place_of(j, place, sizeof place), &b, err),
                err);
}

tn_rc tk_open_http(struct tasks *t, struct job *j, tn_err *err)
{
    char place[128];
    struct buf b = BUF_INIT(0);
    if (!str_prefix(j->http, "tn1:")) { /* none, or from before they were sealed */
        return TN_OK;
    }
    return keep(j, &b,
                keys_unseal(t->hub->keys, j->http, place_of(j, place, sizeof place), &b, err), err);
}
