/* SPDX-License-Identifier: Apache-2.0 */
/* What a durable call was asked with, what it told and what became of it is sealed while it lies in jobs.db: headers hold
 * cookies and authorizations, arguments, results, exceptions and printed lines whatever people send, and the file may be
 * copied by whoever makes backups. In columns of JSON the sealed form is a JSON text. */
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/tasks_int.h"
#include "kernel/store/store.h"

#include <stdio.h>
#include <string.h>

#define SEALED     "tn1:"
#define SEALED_ALL "\"" SEALED /* as JSON */

/* table|column|id: a sealed text can be opened in its own place only. */
static tn_str place_of(const char *column, tn_str id, char *text, size_t n)
{
    int len = snprintf(text, n, "tn_task|%s|%.*s", column, (int)id.n, id.s != NULL ? id.s : "");
    return (tn_str){text, len > 0 && (size_t)len < n ? (size_t)len : 0};
}

static tn_rc seal(struct tasks *t, const char *column, tn_str id, tn_str plain, int json,
                  struct buf *ret, tn_err *err)
{
    char place[128];
    if (json) {
        buf_addc(ret, '"');
    }
    tn_rc rc = keys_seal(t->hub->keys, plain, place_of(column, id, place, sizeof place), ret, err);
    if (json) {
        buf_addc(ret, '"');
    }
    return rc == TN_OK && ret->failed ? err_set(err, TN_E_NOMEM, "no memory for a task") : rc;
}

tn_rc tk_unseal(struct tasks *t, const char *column, tn_str id, tn_str sealed, struct buf *ret,
                tn_err *err)
{
    char place[128];
    if (str_prefix(sealed, SEALED_ALL)) {
        sealed = (tn_str){sealed.s + 1, sealed.n - 2};
    }
    tn_rc rc = keys_unseal(t->hub->keys, sealed, place_of(column, id, place, sizeof place), ret,
                           err);
    return rc == TN_OK && ret->failed ? err_set(err, TN_E_NOMEM, "no memory for a task") : rc;
}

int tk_is_sealed(tn_str s)
{
    return str_prefix(s, SEALED) || str_prefix(s, SEALED_ALL);
}

/* The text becomes the job's, in its own memory; b is finished. */
static tn_rc keep(struct job *j, tn_str *member, struct buf *b, tn_rc rc, tn_err *err)
{
    if (rc == TN_OK) {
        char *copy = arena_dup(&j->mem, buf_str(b));
        rc = copy != NULL ? TN_OK : err_set(err, TN_E_NOMEM, "no memory for a task");
        *member = copy != NULL ? (tn_str){copy, b->len} : *member;
    }
    buf_finish(b);
    return rc;
}

static tn_rc seal_member(struct tasks *t, struct job *j, const char *column, tn_str *member,
                         int json, tn_err *err)
{
    struct buf b = BUF_INIT(0);
    if (member->n <= 2) { /* nothing, or {} */
        return TN_OK;
    }
    return keep(j, member, &b, seal(t, column, j->id, *member, json, &b, err), err);
}

static tn_rc open_member(struct tasks *t, struct job *j, const char *column, tn_str *member,
                         tn_err *err)
{
    struct buf b = BUF_INIT(0);
    if (!tk_is_sealed(*member)) { /* none, or from before they were sealed */
        return TN_OK;
    }
    return keep(j, member, &b, tk_unseal(t, column, j->id, *member, &b, err), err);
}

tn_rc tk_seal(struct tasks *t, struct job *j, tn_err *err)
{
    tn_rc rc = seal_member(t, j, "http", &j->http, 0, err);
    return rc ? rc : seal_member(t, j, "args", &j->args, 1, err);
}

tn_rc tk_open(struct tasks *t, struct job *j, tn_err *err)
{
    tn_rc rc = open_member(t, j, "http", &j->http, err);
    return rc ? rc : open_member(t, j, "args", &j->args, err);
}

void tk_open_ended(struct tasks *t, struct job *j)
{
    tn_err err = TN_ERR_INIT;
    if (tk_open(t, j, &err) != TN_OK) {
        log_warn("tasks: arguments of %.*s: %s", (int)j->id.n, j->id.s, err.msg);
        j->http = j->args = (tn_str){NULL, 0};
    }
}

tn_rc tk_seal_text(struct tasks *t, const char *column, tn_str id, tn_str *text, int json,
                   struct buf *room, tn_err *err)
{
    if (text->n <= (json ? 2 : 0)) { /* nothing, a digit, {} */
        return TN_OK;
    }
    tn_rc rc = seal(t, column, id, *text, json, room, err);
    *text = buf_str(room);
    return rc;
}

tn_rc tk_seal_end(struct tasks *t, tn_str id, struct job_end *e, struct buf room[TK_END_TEXTS],
                  tn_err *err)
{
    const struct {
        const char *column;
        tn_str *text;
        int json;
    } texts[TK_END_TEXTS] = {
        {"result", &e->result, 1},       {"responseControl", &e->control, 1},
        {"progress", &e->progress, 1},   {"exception", &e->exception, 0},
        {"traceback", &e->traceback, 0}, {"logs", &e->logs, 0},
    };
    tn_rc rc = TN_OK;
    for (int i = 0; i < TK_END_TEXTS && rc == TN_OK; i++) {
        rc = tk_seal_text(t, texts[i].column, id, texts[i].text, texts[i].json, &room[i], err);
    }
    return rc;
}
