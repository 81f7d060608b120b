/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of tasks as people see them: the JSON of the store with what is sealed in it opened. */
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/hub.h"
#include "kernel/hub/tasks_int.h"
#include "kernel/store/store.h"
#include "kernel/value/json.h"

#include <string.h>

static const struct {
    const char *name;
    int json; /* the opened text is a value, not a text */
} columns[] = {{"args", 1},     {"result", 1},    {"responseControl", 1},
               {"progress", 1}, {"exception", 0}, {"traceback", 0},
               {"logs", 0}};

/* A walk through rows. Members count at the depth of a row only, and in its attempts: what a caller has put
 * into a label may look like anything. */
struct walk {
    struct tasks *t;
    struct buf *out;
    unsigned depth, row; /* braces and brackets that are open; those around a row's members */
    tn_str id, key, top; /* of this row; the last key; the last key of the row itself */
};

/* -1: none of ours. */
static int column_of(const struct walk *w)
{
    if (w->id.n == 0 ||
        (w->depth != w->row && (w->depth != w->row + 2 || !str_is(w->top, "attempts")))) {
        return -1;
    }
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        if (str_is(w->key, columns[i].name)) {
            return (int)i;
        }
    }
    return -1;
}

/* A sealed text, opened; null when it cannot be. */
static void show(struct walk *w, int column, tn_str token)
{
    struct buf text = BUF_INIT(0);
    tn_err err = TN_ERR_INIT;
    if (tk_unseal(w->t, columns[column].name, w->id, token, &text, &err) != TN_OK) {
        log_warn("tasks: %s of %.*s: %s", columns[column].name, (int)w->id.n, w->id.s, err.msg);
        buf_adds(w->out, "null");
    } else if (columns[column].json) {
        buf_addstr(w->out, buf_str(&text));
    } else {
        buf_quote(w->out, buf_str(&text));
    }
    buf_finish(&text);
}

/* The string that begins at p; returns where it ends, behind its quote. */
static const char *string(struct walk *w, const char *p, const char *end)
{
    const char *q = p + 1;
    while (q < end && *q != '"') {
        q += *q == '\\' && q + 1 < end ? 2 : 1;
    }
    q += q < end;
    tn_str token = {p, (size_t)(q - p)};
    tn_str inner = {p + 1, token.n < 2 ? 0 : token.n - 2};
    if (q < end && *q == ':') {
        w->key = inner;
        w->top = w->depth == w->row ? inner : w->top;
    } else {
        int column = tk_is_sealed(token) ? column_of(w) : -1;
        if (column >= 0) {
            show(w, column, token);
            return q;
        }
        if (w->depth == w->row && str_is(w->key, "id")) {
            w->id = inner;
        }
    }
    buf_addstr(w->out, token);
    return q;
}

static tn_rc open_rows(struct walk *w, tn_str json, tn_err *err)
{
    const char *p = json.s, *end = p + json.n;
    while (p < end) {
        const char *from = p;
        if (*p == '"') {
            p = string(w, p, end);
            continue;
        }
        for (; p < end && *p != '"'; p++) {
            if (*p == '{' || *p == '[') {
                w->depth++;
                w->id = w->depth == w->row ? (tn_str){NULL, 0} : w->id;
            } else if (*p == '}' || *p == ']') {
                w->depth--;
            }
        }
        buf_add(w->out, from, (size_t)(p - from));
    }
    return w->out->failed ? err_set(err, TN_E_NOMEM, "no memory for tasks") : TN_OK;
}

tn_rc tk_get(struct tasks *t, tn_str id, struct buf *ret, tn_err *err)
{
    struct walk w = {.t = t, .out = ret, .row = 1};
    struct buf row = BUF_INIT(0);
    tn_rc rc = jobs_get(t->jobs, id, &row, err);
    rc = rc ? rc : open_rows(&w, buf_str(&row), err);
    buf_finish(&row);
    return rc;
}

tn_rc tk_list(struct tasks *t, const tn_list *list, struct buf *ret, int64_t *ret_total,
              tn_err *err)
{
    struct walk w = {.t = t, .out = ret, .row = 2};
    struct buf rows = BUF_INIT(0);
    tn_rc rc = store_list(t->hub->store, NULL, "task", list, &rows, ret_total, err);
    rc = rc ? rc : open_rows(&w, buf_str(&rows), err);
    buf_finish(&rows);
    return rc;
}
