/* SPDX-License-Identifier: Apache-2.0 */
/* `?` and `??` to bound parameters and quoted names: one pass over the statement that knows what is text,
 * name or comment. */
#include "common/label.h"
#include "common/sql_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 256

struct walk {
    const tn_host *host;
    const struct sql_dialect *d;
    struct sql_text *out;
    const tn_val *params;
    uint32_t nparams, next;
    tn_err *err;
};

/* ---- output ------------------------------------------------------------------------------------------ */

tn_rc sql_text_put(const tn_host *host, struct sql_text *t, const char *p, size_t n, tn_err *err)
{
    if (t->cap - t->n <= n) {
        size_t cap = (t->cap + n) * 2 + 64;
        char *more = realloc(t->sql, cap);
        if (more == NULL) {
            return host->fail(err, TN_E_NOMEM, "no memory for the statement");
        }
        t->sql = more;
        t->cap = cap;
    }
    memcpy(t->sql + t->n, p, n);
    t->n += n;
    t->sql[t->n] = '\0';
    return TN_OK;
}

static tn_rc put(struct walk *w, const char *p, size_t n)
{
    return sql_text_put(w->host, w->out, p, n, w->err);
}

static tn_rc puts_(struct walk *w, const char *z)
{
    return put(w, z, strlen(z));
}

static tn_rc bind(struct walk *w, const tn_val *v)
{
    struct sql_text *t = w->out;
    char text[16] = "?";
    if (v->type == TN_T_NULL && (w->d->flags & SQL_NULL_TEXT)) {
        return puts_(w, "NULL");
    }
    if (w->d->value != NULL) {
        return w->d->value(w->d->user, t, v, w->err);
    }
    if (t->nbinds == SQL_PARAMS_MAX) {
        return w->host->fail(w->err, TN_E_LIMIT,
                             "more than %u parameters in one statement; send it in parts",
                             SQL_PARAMS_MAX);
    }
    if (t->nbinds == t->cap_binds) {
        uint32_t cap = t->cap_binds != 0 ? t->cap_binds * 2 : 16;
        const tn_val **more = realloc(t->binds, cap * sizeof *more);
        if (more == NULL) {
            return w->host->fail(w->err, TN_E_NOMEM, "no memory for the statement");
        }
        t->binds = more;
        t->cap_binds = cap;
    }
    t->binds[t->nbinds++] = v;
    if (w->d->flags & (SQL_DOLLAR_PARAMS | SQL_COLON_PARAMS)) {
        snprintf(text, sizeof text, "%c%u", w->d->flags & SQL_COLON_PARAMS ? ':' : '$', t->nbinds);
    }
    return puts_(w, text);
}

/* ---- names ------------------------------------------------------------------------------------------- */

static int word_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || c >= 0x80;
}

static char folded(const struct walk *w, char c)
{
    if (w->d->fold == 'l' && c >= 'A' && c <= 'Z') {
        return (char)(c + 32);
    }
    return w->d->fold == 'u' && c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

/* One part of a name in quotes. A plain word means what the server would make of it without quotes;
 * anything else is taken literally. */
static tn_rc put_name_part(struct walk *w, const char *p, size_t n)
{
    char close = w->d->quote == '[' ? ']' : w->d->quote;
    int plain = n != 0 && !(p[0] >= '0' && p[0] <= '9');
    for (size_t i = 0; i < n; i++) {
        plain = plain && word_char((unsigned char)p[i]);
    }
    tn_rc rc = put(w, &w->d->quote, 1);
    for (size_t i = 0; rc == TN_OK && i < n; i++) {
        char c = plain ? folded(w, p[i]) : p[i];
        rc = put(w, &c, 1);
        if (rc == TN_OK && (c == close || (c == '\\' && (w->d->flags & SQL_BACKSLASH_NAMES)))) {
            rc = put(w, &c, 1); /* doubled */
        }
    }
    return rc == TN_OK ? put(w, &close, 1) : rc;
}

/* The end of a part that the caller has quoted, NULL: it is not quoted well. */
static const char *quoted_end(const struct walk *w, const char *p, const char *end)
{
    char close = w->d->quote == '[' ? ']' : w->d->quote;
    for (p++; p < end; p++) {
        if (*p == '\\' && (w->d->flags & SQL_BACKSLASH_NAMES)) {
            p++;
        } else if (*p == close) {
            if (p + 1 < end && p[1] == close) {
                p++;
            } else {
                return p + 1;
            }
        }
    }
    return NULL;
}

static tn_rc put_name(struct walk *w, const char *p, size_t n)
{
    const char *end = p + n;
    if (n == 0 || n > NAME_MAX_BYTES || memchr(p, '\0', n) != NULL) {
        return w->host->fail(
            w->err, TN_E_INVAL,
            "?? stands for a name of 1 to %d bytes without NUL, not for one of %zu "
            "bytes",
            NAME_MAX_BYTES, n);
    }
    for (;;) {
        const char *stop = *p == w->d->quote ? quoted_end(w, p, end) : NULL;
        tn_rc rc;
        if (stop != NULL && (stop == end || *stop == '.')) {
            rc = put(w, p, (size_t)(stop - p)); /* quoted by the caller: exactly this name */
        } else {
            stop = memchr(p, '.', (size_t)(end - p));
            stop = stop != NULL ? stop : end;
            if (stop == p) {
                return w->host->fail(w->err, TN_E_INVAL, "?? got a name with an empty part: %.*s",
                                     (int)n, end - n);
            }
            rc = put_name_part(w, p, (size_t)(stop - p));
        }
        if (rc != TN_OK || stop == end) {
            return rc;
        }
        if (stop + 1 == end) {
            return w->host->fail(w->err, TN_E_INVAL, "?? got a name that ends in a dot: %.*s",
                                 (int)n, end - n);
        }
        rc = put(w, ".", 1);
        if (rc != TN_OK) {
            return rc;
        }
        p = stop + 1;
    }
}

static tn_rc put_names(struct walk *w, const tn_val *v)
{
    tn_rc rc = TN_OK;
    if (v->type == TN_T_STR) {
        return put_name(w, v->u.s, v->n);
    }
    if (v->type != TN_T_LIST || v->n == 0) {
        return w->host->fail(w->err, TN_E_INVAL,
                             "?? stands for a name or a list of names; use ? for values");
    }
    for (uint32_t i = 0; rc == TN_OK && i < v->n; i++) {
        rc = i != 0 ? puts_(w, ", ") : TN_OK;
        if (rc == TN_OK) {
            rc = v->u.list[i].type == TN_T_STR
                     ? put_name(w, v->u.list[i].u.s, v->u.list[i].n)
                     : w->host->fail(w->err, TN_E_INVAL,
                                     "?? got a list with something that is no "
                                     "name");
        }
    }
    return rc;
}

/* ---- values ------------------------------------------------------------------------------------------ */

/* A list in a list gets parentheses; an empty one is NULL, so that IN (?) finds nothing. */
static tn_rc put_value(struct walk *w, const tn_val *v, int nested)
{
    int paren = nested && v->type == TN_T_LIST;
    tn_rc rc = paren ? puts_(w, "(") : TN_OK;
    if (rc != TN_OK) {
        return rc;
    }
    if (v->type != TN_T_LIST && v->type != TN_T_MAP) {
        return bind(w, v);
    }
    if (v->n == 0) {
        rc = v->type == TN_T_LIST ? puts_(w, "NULL")
                                  : w->host->fail(w->err, TN_E_INVAL, "? got an empty dict");
    }
    for (uint32_t i = 0; rc == TN_OK && i < v->n; i++) {
        rc = i != 0 ? puts_(w, ", ") : TN_OK;
        if (rc == TN_OK && v->type == TN_T_LIST) {
            rc = put_value(w, &v->u.list[i], 1);
        } else if (rc == TN_OK) {
            const tn_pair *p = &v->u.map[i];
            rc = p->key.type == TN_T_STR ? put_name(w, p->key.u.s, p->key.n)
                                         : w->host->fail(w->err, TN_E_INVAL, "a key is no name");
            rc = rc == TN_OK ? puts_(w, " = ") : rc;
            rc = rc == TN_OK ? put_value(w, &p->val, 1) : rc;
        }
    }
    return rc == TN_OK && paren ? puts_(w, ")") : rc;
}

/* ---- the statement ----------------------------------------------------------------------------------- */

static const char *skip_quoted(const char *p, const char *end, char close, int backslash)
{
    for (p++; p < end; p++) {
        if (backslash && *p == '\\') {
            p++;
        } else if (*p == close) {
            if (p + 1 < end && p[1] == close) {
                p++;
            } else {
                return p + 1;
            }
        }
    }
    return end;
}

static const char *skip_note(const char *p, const char *end, int nested)
{
    int depth = 1;
    for (p += 2; p < end && depth != 0; p++) {
        if (p + 1 < end && p[0] == '*' && p[1] == '/') {
            depth--;
            p++;
        } else if (nested && p + 1 < end && p[0] == '/' && p[1] == '*') {
            depth++;
            p++;
        }
    }
    return p < end ? p : end;
}

/* $tag$ … $tag$; p is at the first $. NULL: it is something else. */
static const char *skip_dollar(const char *start, const char *p, const char *end)
{
    const char *q = p + 1;
    if (p > start && word_char((unsigned char)p[-1])) {
        return NULL; /* part of a name */
    }
    while (q < end && word_char((unsigned char)*q) && *q != '$' &&
           !(q == p + 1 && *q >= '0' && *q <= '9')) {
        q++;
    }
    if (q >= end || *q != '$') {
        return NULL;
    }
    size_t n = (size_t)(q + 1 - p);
    const char *body = q + 1;
    while (body < end) {
        const char *hit = memchr(body, '$', (size_t)(end - body));
        if (hit == NULL || (size_t)(end - hit) < n) {
            return end;
        }
        if (memcmp(hit, p, n) == 0) {
            return hit + n;
        }
        body = hit + 1;
    }
    return end;
}

/* q'[ … ]' or nq'! … !'; p is at the quote. NULL: it is an ordinary text. */
static const char *skip_q(const char *start, const char *p, const char *end)
{
    static const char open[] = "[({<", close[] = "])}>";
    const char *q = p - 1, *before = q;
    if (p == start || (*q != 'q' && *q != 'Q') || p + 1 >= end) {
        return NULL;
    }
    before -= before > start && (before[-1] == 'n' || before[-1] == 'N');
    if (before > start && word_char((unsigned char)before[-1])) {
        return NULL; /* part of a name */
    }
    const char *pair = strchr(open, p[1]);
    char stop = pair != NULL && *pair != '\0' ? close[pair - open] : p[1];
    for (p += 2; p + 1 < end; p++) {
        if (p[0] == stop && p[1] == '\'') {
            return p + 2;
        }
    }
    return end;
}

/* `--`; for MySQL 5--1 is 6. */
static int is_dashes(uint32_t f, const char *p, const char *end)
{
    return end - p > 1 && p[1] == '-' &&
           (!(f & SQL_MYSQL_NOTES) || end - p == 2 || (unsigned char)p[2] <= ' ' || p[2] == 0x7f);
}

/* The end of a text, quoted name or comment that begins at p; NULL: none begins here. */
static const char *skip(const struct walk *w, const char *start, const char *p, const char *end)
{
    uint32_t f = w->d->flags;
    switch (*p) {
    case '\'': {
        const char *q = f & SQL_Q_QUOTES ? skip_q(start, p, end) : NULL;
        if (q != NULL) {
            return q;
        }
        int escaped = (f & SQL_DOLLAR_QUOTES) && p > start && (p[-1] == 'E' || p[-1] == 'e') &&
                      (p - 1 == start || !word_char((unsigned char)p[-2]));
        return skip_quoted(p, end, '\'', escaped || (f & SQL_BACKSLASH));
    }
    case '"':
        return skip_quoted(p, end, '"', (f & SQL_BACKSLASH) && !(f & SQL_DOUBLE_NAMES));
    case '`':
        return w->d->quote == '`' ? skip_quoted(p, end, '`', (f & SQL_BACKSLASH_NAMES) != 0) : NULL;
    case '[':
        return w->d->quote == '[' ? skip_quoted(p, end, ']', 0) : NULL;
    case '$':
        return f & SQL_DOLLAR_QUOTES ? skip_dollar(start, p, end) : NULL;
    case '#':
    case '-':
        if (*p == '#' ? (f & SQL_MYSQL_NOTES) != 0 : is_dashes(f, p, end)) {
            const char *nl = memchr(p, '\n', (size_t)(end - p));
            return nl != NULL ? nl : end;
        }
        return NULL;
    case '/':
        if (p + 1 >= end || p[1] != '*') {
            return NULL;
        }
        if ((f & SQL_MYSQL_NOTES) &&
            ((end - p > 2 && p[2] == '!') || (end - p > 3 && p[2] == 'M' && p[3] == '!'))) {
            return p + 3; /* the server reads what is in it, and so do we */
        }
        return skip_note(p, end, (f & SQL_NESTED_NOTES) != 0);
    default:
        return NULL;
    }
}

/* Does it have placeholders of the server's own form? $ in a name ends in no number that begins with it. */
static int has_own(const struct walk *w, const char *p, const char *end)
{
    const char *start = p;
    if (!(w->d->flags & SQL_DOLLAR_PARAMS) || w->nparams == 0 ||
        memchr(p, '$', (size_t)(end - p)) == NULL) {
        return 0;
    }
    while (p < end) {
        const char *next = skip(w, start, p, end);
        if (next == NULL && *p == '$' && p + 1 < end && p[1] >= '1' && p[1] <= '9' &&
            (p == start || !word_char((unsigned char)p[-1]))) {
            return 1;
        }
        p = next != NULL ? next : p + 1;
    }
    return 0;
}

static tn_rc walk(struct walk *w, const char *p, const char *end)
{
    const char *start = p, *from = p;
    tn_rc rc = TN_OK;
    while (rc == TN_OK && p < end) {
        const char *next = skip(w, start, p, end);
        if (next != NULL || *p != '?') {
            p = next != NULL ? next : p + 1;
            continue;
        }
        size_t run = 1;
        while (p + run < end && p[run] == '?') {
            run++;
        }
        if (run <= 2 && w->next < w->nparams) {
            const tn_val *v = &w->params[w->next++];
            rc = put(w, from, (size_t)(p - from));
            rc = rc != TN_OK ? rc : run == 1 ? put_value(w, v, 0) : put_names(w, v);
            from = p + run;
        }
        p += run;
    }
    return rc == TN_OK ? put(w, from, (size_t)(end - from)) : rc;
}

static int nothing(const tn_val *v)
{
    return v == NULL || v->type == TN_T_NULL || (v->type == TN_T_LIST && v->n == 0) ||
           (v->type == TN_T_MAP && v->n == 0) || (v->type == TN_T_STR && v->n == 0) ||
           ((v->type == TN_T_INT || v->type == TN_T_BOOL) && v->u.i == 0);
}

static int blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* The function that asks, where the server shows its statements. In front, since such lists cut the end. */
static tn_rc put_label(struct walk *w)
{
    char label[LABEL_MAX];
    tn_rc rc = TN_OK;
    if (label_caller(w->host, label) != 0) {
        rc = puts_(w, "/* ");
        rc = rc == TN_OK ? puts_(w, label) : rc;
        rc = rc == TN_OK ? puts_(w, " */ ") : rc;
    }
    w->out->label = w->out->n;
    return rc;
}

tn_rc sql_translate(const tn_host *host, const struct sql_dialect *d, tn_str sql,
                    const tn_val *params, struct sql_text *ret, tn_err *err)
{
    struct sql_text out = {0};
    struct walk w = {.host = host, .d = d, .out = &out, .err = err};
    const char *p = sql.s != NULL ? sql.s : "", *end = p + sql.n;
    if (memchr(p, '\0', sql.n) != NULL) {
        return host->fail(err, TN_E_INVAL, "the statement has a NUL character");
    }
    while (p < end && blank(*p)) {
        p++;
    }
    while (end > p && blank(end[-1])) {
        end--;
    }
    if (p == end) {
        return host->fail(err, TN_E_INVAL, "the statement is empty");
    }
    if (!nothing(params)) {
        int list = params->type == TN_T_LIST && !(params->flags & TN_V_SET);
        w.params = list ? params->u.list : params;
        w.nparams = list ? params->n : 1;
    }
    tn_rc rc = put_label(&w);
    int own = has_own(&w, p, end);
    if (rc == TN_OK && !own) {
        rc = walk(&w, p, end);
    } else if (rc == TN_OK) {
        rc = put(&w, p, (size_t)(end - p));
        size_t n = out.n; /* the text stays; only the list is bound */
        for (uint32_t i = 0; rc == TN_OK && i < w.nparams; i++) {
            rc = bind(&w, &w.params[i]);
        }
        out.n = n;
        out.sql[n] = '\0';
    }
    if (rc != TN_OK) {
        sql_text_finish(&out);
        return rc;
    }
    *ret = out;
    return TN_OK;
}

void sql_text_finish(struct sql_text *t)
{
    free(t->sql);
    free(t->binds);
    *t = (struct sql_text){0};
}
