/* SPDX-License-Identifier: Apache-2.0 */
/* What a durable call was asked with and what it returned is sealed while it lies in jobs.db: headers hold cookies and
 * authorizations, arguments and results whatever callers send, and the file may be copied by whoever makes backups.
 * Arguments and results are columns of JSON, so their sealed form is a JSON text. */
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/tasks_int.h"
#include "kernel/store/store.h"
#include "kernel/value/json.h"

#include <stdio.h>
#include <string.h>

#define SEALED     "tn1:"
#define SEALED_ALL "\"" SEALED /* as JSON */
#define MEMBERS    64

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

static tn_rc unseal(struct tasks *t, const char *column, tn_str id, tn_str sealed, struct buf *ret,
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

static int is_sealed(tn_str s)
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
    if (!is_sealed(*member)) { /* none, of a schedule, or from before they were sealed */
        return TN_OK;
    }
    return keep(j, member, &b, unseal(t, column, j->id, *member, &b, err), err);
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

tn_rc tk_seal_result(struct tasks *t, tn_str id, tn_str result, struct buf *ret, tn_err *err)
{
    return seal(t, "result", id, result, 1, ret, err);
}

/* One member of a task as JSON, the value opened; null when it cannot be. */
static void show(struct tasks *t, tn_str id, const tn_json_member *m, struct buf *ret)
{
    const char *column = str_is(m->key, "args")     ? "args"
                         : str_is(m->key, "result") ? "result"
                                                    : NULL;
    tn_err err = TN_ERR_INIT;
    size_t before;
    buf_printf(ret, "%s\"%.*s\":", ret->len > 1 ? "," : "", (int)m->key.n, m->key.s);
    before = ret->len;
    if (column == NULL || m->kind != TN_JSON_STRING || !str_prefix(m->value, SEALED_ALL)) {
        buf_add(ret, m->value.s, m->value.n);
    } else if (unseal(t, column, id, m->value, ret, &err) != TN_OK) {
        log_warn("tasks: %s of %.*s: %s", column, (int)id.n, id.s, err.msg);
        ret->len = before;
        buf_adds(ret, "null");
    }
}

static tn_rc show_all(struct tasks *t, tn_str id, tn_str json, struct buf *ret, tn_err *err)
{
    tn_json_member m[MEMBERS];
    uint32_t kind, n = 0;
    tn_rc rc = json_scan(json, &kind, m, MEMBERS, &n, err);
    if (rc != TN_OK || kind != TN_JSON_OBJECT || n > MEMBERS) {
        return rc ? rc : err_set(err, TN_E_INTERNAL, "the task is not an object of 64 members");
    }
    buf_addc(ret, '{');
    for (uint32_t i = 0; i < n; i++) {
        show(t, id, &m[i], ret);
    }
    buf_addc(ret, '}');
    return ret->failed ? err_set(err, TN_E_NOMEM, "no memory for a task") : TN_OK;
}

tn_rc tk_get(struct tasks *t, tn_str id, struct buf *ret, tn_err *err)
{
    struct buf row = BUF_INIT(0);
    tn_rc rc = jobs_get(t->jobs, id, &row, err);
    rc = rc ? rc : show_all(t, id, buf_str(&row), ret, err);
    buf_finish(&row);
    return rc;
}
