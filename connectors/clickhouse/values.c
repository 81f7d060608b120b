/* SPDX-License-Identifier: Apache-2.0 */
/* What kind a statement is. INSERT … VALUES for servers that leave the rows behind VALUES to the client: the statement is cut
 * there and the rows are read as literals, those that bind.c writes among them. */
#include "clickhouse.h"

#include <stdlib.h>
#include <string.h>

/* ---- finding the rows -------------------------------------------------------------------------------- */

static bool word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* Behind a text, quoted name or comment that begins at p; p: none does. */
static const char *skip(const char *p, const char *end)
{
    if (*p == '\'' || *p == '"' || *p == '`') {
        const char *q = p + 1;
        while (q < end && *q != *p) {
            q += *q == '\\' && q + 1 < end ? 2 : 1;
        }
        return q < end ? q + 1 : end;
    }
    if (end - p >= 2 && p[0] == '-' && p[1] == '-') {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        return nl != NULL ? nl + 1 : end;
    }
    if (end - p >= 2 && p[0] == '/' && p[1] == '*') {
        for (const char *q = p + 2; q + 1 < end; q++) {
            if (q[0] == '*' && q[1] == '/') {
                return q + 2;
            }
        }
        return end;
    }
    return p;
}

/* The next word outside of parentheses, which *pp is moved behind; n = 0: the end. */
static tn_str next_word(const char **pp, const char *end)
{
    int depth = 0;
    for (const char *p = *pp; p < end;) {
        const char *behind = skip(p, end);
        if (behind != p) {
            p = behind;
        } else if (!word_byte(*p)) {
            depth += (*p == '(') - (*p == ')');
            p++;
        } else {
            const char *from = p;
            while (p < end && word_byte(*p)) {
                p++;
            }
            if (depth == 0) {
                *pp = p;
                return (tn_str){from, (size_t)(p - from)};
            }
        }
    }
    *pp = end;
    return (tn_str){end, 0};
}

static bool is(tn_str w, const char *z)
{
    return strlen(z) == w.n && strncasecmp(w.s, z, w.n) == 0;
}

bool ch_is_insert(tn_str sql)
{
    const char *p = sql.s, *end = p + sql.n;
    return sql.n != 0 && is(next_word(&p, end), "INSERT");
}

bool ch_changes_session(tn_str sql)
{
    static const char *const firsts[] = {"SET", "USE", "BEGIN", "START", "EXECUTE"};
    const char *p = sql.s, *end = p + sql.n;
    if (sql.n == 0) {
        return false;
    }
    tn_str w = next_word(&p, end);
    if (memchr(sql.s, '#', (size_t)(w.s - sql.s)) != NULL) {
        return true; /* a comment of servers from 21.x on; who knows what follows it */
    }
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        if (is(w, firsts[i])) {
            return true;
        }
    }
    bool temporary = false;
    for (int i = is(w, "CREATE") ? 3 : 0; i > 0 && !temporary; i--) { /* [OR REPLACE] TEMPORARY */
        temporary = is(next_word(&p, end), "TEMPORARY");
    }
    return temporary;
}

/* Behind the word VALUES of an INSERT; NULL: it has none. */
static const char *behind_values(tn_str sql)
{
    const char *p = sql.s, *end = p + sql.n;
    if (!ch_is_insert(sql)) {
        return NULL;
    }
    for (tn_str w = next_word(&p, end);
         w.n != 0 && !is(w, "SELECT") && !is(w, "FORMAT") && !is(w, "WITH");
         w = next_word(&p, end)) {
        if (is(w, "VALUES")) {
            return p;
        }
    }
    return NULL;
}

size_t ch_values_at(tn_str sql)
{
    const char *p = behind_values(sql), *end = sql.s + sql.n;
    if (p == NULL) {
        return sql.n;
    }
    const char *rows = p;
    while (rows < end && (blank(*rows) || *rows == ';')) {
        rows++;
    }
    return rows < end ? (size_t)(p - sql.s) : sql.n;
}

bool ch_has_values(tn_str sql)
{
    return behind_values(sql) != NULL;
}

/* ---- literals ---------------------------------------------------------------------------------------- */

struct lex {
    const tn_host *host;
    struct ch_mem *mem;
    const char *p, *end;
    unsigned depth;
    tn_err *err;
};

static tn_rc refuse(struct lex *l, const char *from)
{
    size_t left = (size_t)(l->end - from);
    return l->host->fail(
        l->err, TN_E_INVAL,
        "this server (before 20.x) reads only literals behind VALUES, and near `%.*s` is none; use "
        "insert() or INSERT … SELECT",
        (int)(left < 40 ? left : 40), from);
}

static void blanks(struct lex *l)
{
    while (l->p < l->end) {
        const char *behind = *l->p == '\'' ? l->p : skip(l->p, l->end);
        if (*l->p == '"' || *l->p == '`' || (behind == l->p && !blank(*l->p))) {
            return;
        }
        l->p = behind != l->p ? behind : l->p + 1;
    }
}

static bool take(struct lex *l, char c)
{
    blanks(l);
    if (l->p < l->end && *l->p == c) {
        l->p++;
        return true;
    }
    return false;
}

static void *room(struct lex *l, size_t n, size_t size)
{
    tn_rc rc = TN_OK;
    void *p = ch_alloc(l->mem, n, size, &rc);
    if (p == NULL) {
        l->host->fail(l->err, rc, "no memory for the rows");
    }
    return p;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static tn_rc text(struct lex *l, tn_val *ret)
{
    static const char codes[] = "bfrnt0av", meant[] = "\b\f\r\n\t\0\a\v";
    const char *from = l->p, *end = skip(l->p, l->end);
    if (end == l->end && (end - from < 2 || end[-1] != '\'')) {
        return refuse(l, from);
    }
    char *to = room(l, (size_t)(end - from), 1);
    uint32_t n = 0;
    if (to == NULL) {
        return TN_E_NOMEM;
    }
    for (const char *p = from + 1; p < end - 1; p++) {
        char c = *p;
        if (c == '\\' && p + 1 < end - 1) {
            const char *at = memchr(codes, *++p, sizeof codes - 1);
            c = at != NULL ? meant[at - codes] : *p;
            if (*p == 'x' && end - 1 - p > 2 && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
                c = (char)(hex(p[1]) << 4 | hex(p[2]));
                p += 2;
            }
        }
        to[n++] = c;
    }
    l->p = end;
    *ret = (tn_val){.type = TN_T_STR, .n = n, .u.s = to};
    return TN_OK;
}

/* A whole number, or any other as its text, which is exact. */
static tn_rc number(struct lex *l, tn_val *ret)
{
    const char *from = l->p;
    uint8_t bytes[8];
    bool is_whole = true;
    l->p += *l->p == '-' || *l->p == '+';
    for (; l->p < l->end && (word_byte(*l->p) || *l->p == '.' ||
                             ((*l->p == '-' || *l->p == '+') && (l->p[-1] | 32) == 'e'));
         l->p++) {
        is_whole = is_whole && *l->p >= '0' && *l->p <= '9';
    }
    size_t n = (size_t)(l->p - from);
    tn_val v = {.type = TN_T_DECIMAL, .n = (uint32_t)n, .u.s = from};
    if (is_whole && ch_number_parse(from, n, 8, true, 0, bytes)) {
        v.type = TN_T_INT;
        v.n = 0;
        memcpy(&v.u.i, bytes, 8);
    }
    *ret = v;
    return TN_OK;
}

static tn_rc value(struct lex *l, tn_val *ret);

/* Items up to `close`; the opening one was taken. Of a dict keys and values take turns. */
static tn_rc items(struct lex *l, char close, bool dict, tn_val *ret)
{
    uint32_t n = 0, cap = 0;
    tn_val *v = NULL;
    tn_rc rc = TN_OK;
    if (!take(l, close)) {
        do {
            if (n == cap) {
                cap = cap * 2 + 8;
                tn_val *more = v != NULL ? ch_resize(l->mem, v, cap * sizeof *v, &rc)
                                         : ch_alloc(l->mem, cap, sizeof *v, &rc);
                if (more == NULL) {
                    return l->host->fail(l->err, rc, "no memory for the rows");
                }
                v = more;
            }
            rc = value(l, &v[n++]);
        } while (rc == TN_OK && take(l, dict && n % 2 != 0 ? ':' : ','));
        if (rc == TN_OK && (!take(l, close) || (dict && n % 2 != 0))) {
            rc = refuse(l, l->p);
        }
    }
    *ret = (tn_val){.type = TN_T_LIST, .n = n, .u.list = v};
    if (dict) { /* pairs lie as their keys and values do */
        static_assert(sizeof(tn_pair) == 2 * sizeof(tn_val), "a pair is two values");
        *ret = (tn_val){.type = TN_T_MAP, .n = n / 2, .u.map = (const tn_pair *)v};
    }
    return rc;
}

/* The functions that bind.c writes. */
static tn_rc call(struct lex *l, tn_str name, const char *from, tn_val *ret)
{
    tn_val args;
    tn_rc rc = items(l, ')', false, &args);
    if (rc != TN_OK) {
        return rc;
    }
    const tn_val *v = args.u.list;
    bool one = args.n == 1, two = args.n == 2;
    if ((is(name, "toDate") || is(name, "toDateTime") || is(name, "toIntervalSecond") ||
         is(name, "toUUID")) &&
        one) {
        *ret = v[0];
        return TN_OK;
    }
    if (name.n > 9 && strncasecmp(name.s, "toDecimal", 9) == 0 && two &&
        (v[0].type == TN_T_STR || v[0].type == TN_T_DECIMAL)) {
        *ret = (tn_val){.type = TN_T_DECIMAL, .n = v[0].n, .u.s = v[0].u.s};
        return TN_OK;
    }
    return refuse(l, from);
}

static tn_rc word(struct lex *l, tn_val *ret)
{
    const char *from = l->p;
    while (l->p < l->end && word_byte(*l->p)) {
        l->p++;
    }
    tn_str w = {from, (size_t)(l->p - from)};
    if (is(w, "NULL")) {
        *ret = (tn_val){.type = TN_T_NULL};
    } else if (is(w, "true") || is(w, "false")) {
        *ret = (tn_val){.type = TN_T_BOOL, .u.i = is(w, "true")};
    } else if (is(w, "nan") || is(w, "inf")) {
        *ret = (tn_val){.type = TN_T_DECIMAL, .n = (uint32_t)w.n, .u.s = w.s};
    } else if (w.n != 0 && take(l, '(')) {
        return call(l, w, from, ret);
    } else {
        return refuse(l, from);
    }
    return TN_OK;
}

static tn_rc value(struct lex *l, tn_val *ret)
{
    tn_rc rc;
    blanks(l);
    if (l->p == l->end || l->depth >= CH_DEPTH_MAX) {
        return refuse(l, l->p);
    }
    char c = *l->p;
    l->depth++;
    if (c == '\'') {
        rc = text(l, ret);
    } else if ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.') {
        rc = number(l, ret);
    } else if (c == '[' || c == '(' || c == '{') {
        l->p++;
        rc = items(l, c == '[' ? ']' : c == '(' ? ')' : '}', c == '{', ret);
    } else {
        rc = word(l, ret);
    }
    l->depth--;
    return rc;
}

tn_rc ch_values_parse(const tn_host *host, struct ch_mem *m, tn_str sql, tn_val *ret, tn_err *err)
{
    struct lex l = {.host = host, .mem = m, .p = sql.s, .end = sql.s + sql.n, .err = err};
    uint32_t n = 0, cap = 0;
    tn_val *rows = NULL;
    tn_rc rc = TN_OK;
    for (blanks(&l); l.p < l.end && *l.p != ';'; blanks(&l)) {
        const char *from = l.p;
        if (n == cap) {
            cap = cap * 2 + 64;
            tn_val *more = rows != NULL ? ch_resize(m, rows, cap * sizeof *rows, &rc)
                                        : ch_alloc(m, cap, sizeof *rows, &rc);
            if (more == NULL) {
                return host->fail(err, rc, "no memory for the rows");
            }
            rows = more;
        }
        if (!take(&l, '(')) {
            return refuse(&l, from);
        }
        rc = items(&l, ')', false, &rows[n++]);
        if (rc != TN_OK) {
            return rc;
        }
        take(&l, ',');
    }
    *ret = (tn_val){.type = TN_T_LIST, .n = n, .u.list = rows};
    return TN_OK;
}
