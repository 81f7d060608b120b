/* SPDX-License-Identifier: Apache-2.0 */
/* A small part of Oracle's SQL as SQLite: names without quotes in capitals, :names as ?1 …, types and literals with a type,
 * CAST. What SQLite says of a statement becomes the error of Oracle's number. */
#include "oci.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct out {
    char *s;
    size_t n, cap;
};
struct parse {
    const char *p;
    struct out out;
    struct stmt *st;
    int depth, casts[32], ncasts;
    bool create;    /* the list of columns of CREATE TABLE */
    bool column;    /* …where the type of one comes next */
    bool returning; /* INTO behind it names variables */
};

static void put(struct out *o, const char *p, size_t n)
{
    if (o->n + n + 1 > o->cap) {
        size_t cap = (o->cap + n) * 2 + 64;
        char *more = realloc(o->s, cap);
        if (more == NULL) {
            abort();
        }
        o->s = more;
        o->cap = cap;
    }
    memcpy(o->s + o->n, p, n);
    o->n += n;
    o->s[o->n] = '\0';
}

static void puts_(struct out *o, const char *z)
{
    put(o, z, strlen(z));
}

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '#' ||
           (unsigned char)c >= 0x80;
}

uint16_t statement_kind(const char *text)
{
    static const struct {
        const char *word;
        uint16_t kind;
    } words[] = {{"SELECT", S_SELECT},   {"WITH", S_SELECT},     {"UPDATE", S_UPDATE},
                 {"DELETE", S_DELETE},   {"INSERT", S_INSERT},   {"CREATE", S_CREATE},
                 {"DROP", S_DROP},       {"ALTER", S_ALTER},     {"BEGIN", S_BEGIN},
                 {"DECLARE", S_DECLARE}, {"CALL", S_CALL},       {"MERGE", S_MERGE},
                 {"COMMIT", S_COMMIT},   {"EXPLAIN", S_EXPLAIN}, {"ROLLBACK", S_ROLLBACK}};
    for (;;) { /* comments do not count */
        text += strspn(text, " \t\r\n(");
        if (strncmp(text, "/*", 2) == 0 && strstr(text, "*/") != NULL) {
            text = strstr(text, "*/") + 2;
        } else if (strncmp(text, "--", 2) == 0) {
            text += strcspn(text, "\n");
        } else {
            break;
        }
    }
    size_t n = 0;
    while (word_char(text[n])) {
        n++;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i].word) == n && strncasecmp(text, words[i].word, n) == 0) {
            return words[i].kind;
        }
    }
    return 0;
}

/* ---- tokens ------------------------------------------------------------------------------------------ */

/* The length of a text or quoted name that begins at p. */
static size_t quoted(const char *p)
{
    const char *q = p + 1;
    while (*q != '\0' && (*q != *p || q[1] == *p)) {
        q += *q == *p ? 2 : 1;
    }
    return (size_t)(q - p) + (*q != '\0');
}

static size_t word_length(const char *p)
{
    size_t n = 0;
    while (word_char(p[n])) {
        n++;
    }
    return n;
}

static bool is(const char *p, size_t n, const char *word)
{
    return strlen(word) == n && strncasecmp(p, word, n) == 0;
}

static const char *blanks(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* ---- literals and types ------------------------------------------------------------------------------ */

/* DATE '…', TIMESTAMP '…', INTERVAL '…' unit TO unit as ORA_CAST('…', 'type'); false: it is something else. */
static bool typed_literal(struct parse *w, const char *p, size_t n)
{
    const char *text = blanks(p + n);
    bool interval = is(p, n, "INTERVAL");
    if (*text != '\'' || !(is(p, n, "DATE") || is(p, n, "TIMESTAMP") || interval)) {
        return false;
    }
    size_t len = quoted(text);
    const char *type = "DATE", *end = text + len;
    if (interval) {
        const char *unit = blanks(end);
        bool year = strncasecmp(unit, "YEAR", 4) == 0 || strncasecmp(unit, "MONTH", 5) == 0;
        type = year ? "INTERVAL YEAR TO MONTH" : "INTERVAL DAY TO SECOND";
        for (int i = 0; i < 3; i++) { /* unit TO unit */
            end = blanks(end) + word_length(blanks(end));
        }
    } else if (is(p, n, "TIMESTAMP")) {
        const char *zone = text + 11;
        while (zone < end && *zone != '+' && *zone != '-') {
            zone++;
        }
        type = zone < end ? "TIMESTAMP WITH TIME ZONE" : "TIMESTAMP";
    }
    puts_(&w->out, "ORA_CAST(");
    put(&w->out, text, len);
    puts_(&w->out, ",'");
    puts_(&w->out, type);
    puts_(&w->out, "')");
    w->p = end;
    return true;
}

/* The type of a column as one quoted word; numbers keep what is put in. */
static void column_type(struct parse *w)
{
    static const char *const ends[] = {"NOT",   "NULL",       "PRIMARY",    "UNIQUE",    "DEFAULT",
                                       "CHECK", "REFERENCES", "CONSTRAINT", "GENERATED", NULL};
    const char *p = blanks(w->p), *start = p, *end = p;
    int depth = 0;
    while (*p != '\0') {
        size_t n = word_length(p);
        bool stop = false;
        for (int i = 0; n != 0 && ends[i] != NULL; i++) {
            stop = stop || is(p, n, ends[i]);
        }
        if (stop || (depth == 0 && (*p == ',' || *p == ')'))) {
            break;
        }
        depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
        p += n != 0 ? n : 1;
        end = *blanks(p - 1) == *(p - 1) ? p : end;
    }
    puts_(&w->out, " \"");
    for (const char *q = start; q < end; q++) {
        char c = (char)toupper((unsigned char)*q);
        put(&w->out, &c, 1);
    }
    puts_(&w->out, strncasecmp(start, "NUMBER", 6) == 0 || strncasecmp(start, "DEC", 3) == 0
                       ? " BLOB\" "
                       : "\" ");
    w->p = end;
    w->column = false;
}

/* Behind AS of a CAST: the type as a text. */
static void cast_type(struct parse *w)
{
    const char *p = blanks(w->p + 2);
    int depth = 0;
    puts_(&w->out, ",'");
    for (; *p != '\0' && (depth > 0 || *p != ')'); p++) {
        char c = (char)toupper((unsigned char)*p);
        depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
        put(&w->out, &c, 1);
    }
    put(&w->out, "'", 1);
    w->p = p;
    w->ncasts--;
}

/* ---- the statement ----------------------------------------------------------------------------------- */

static void placeholder(struct parse *w)
{
    struct stmt *st = w->st;
    size_t n = word_length(w->p + 1);
    char text[16];
    st->names = realloc(st->names, (st->nbinds + 1) * sizeof *st->names);
    if (st->names == NULL) {
        abort();
    }
    snprintf(st->names[st->nbinds], sizeof *st->names, "%.*s", (int)n, w->p + 1);
    for (char *c = st->names[st->nbinds]; *c != '\0'; c++) {
        *c = (char)toupper((unsigned char)*c);
    }
    st->nbinds++;
    snprintf(text, sizeof text, "?%u", st->nbinds);
    puts_(&w->out, text);
    w->p += 1 + n;
}

static void word(struct parse *w)
{
    const char *p = w->p;
    size_t n = word_length(p);
    if (w->ncasts > 0 && w->casts[w->ncasts - 1] == w->depth && is(p, n, "AS")) {
        cast_type(w);
        return;
    }
    if (typed_literal(w, p, n)) {
        return;
    }
    w->p += n;
    if (is(p, n, "CAST") && *blanks(w->p) == '(' && w->ncasts < 32) {
        w->casts[w->ncasts++] = w->depth + 1;
        puts_(&w->out, "ORA_CAST");
    } else if (is(p, n, "PURGE") && w->st->kind == S_DROP) { /* there is no recycle bin */
    } else if (is(p, n, "MINUS")) {
        puts_(&w->out, "EXCEPT");
    } else if (is(p, n, "INTO") &&
               w->returning) { /* the variables behind it are bound, not part of SQLite's text */
        w->st->returning = true;
        for (const char *q = w->p; *q != '\0'; q++) {
            if (*q == ':') {
                size_t before = w->out.n;
                w->p = q;
                placeholder(w);
                w->out.n = before;
                w->out.s[before] = '\0';
            }
        }
        w->p += strlen(w->p);
    } else {
        for (size_t i = 0; i < n; i++) {
            char c = (char)toupper((unsigned char)p[i]);
            put(&w->out, &c, 1);
        }
        w->returning = w->returning || is(p, n, "RETURNING");
    }
    if (w->create && w->column && w->depth == 1) {
        if (is(p, n, "CONSTRAINT") || is(p, n, "PRIMARY") || is(p, n, "UNIQUE")) {
            w->column = false;
        } else {
            column_type(w);
        }
    }
}

static void symbol(struct parse *w)
{
    char c = *w->p++;
    c = c == '?' ? '\\' : c; /* no character of Oracle's SQL */
    if (c == '(' || c == ')') {
        w->depth += c == '(' ? 1 : -1;
    }
    w->column = (c == '(' || c == ',') && w->depth == 1;
    put(&w->out, &c, 1);
}

char *rewrite(struct stmt *st)
{
    struct parse w = {.p = blanks(st->text), .st = st};
    w.create = st->kind == S_CREATE;
    if (strncasecmp(w.p, "TRUNCATE TABLE", 14) == 0) {
        puts_(&w.out, "DELETE FROM");
        w.p += 14;
    }
    while (*w.p != '\0') {
        size_t n;
        if (*w.p == '\'' || *w.p == '"') {
            n = quoted(w.p);
            put(&w.out, w.p, n);
            bool name = *w.p == '"';
            w.p += n;
            if (name && w.create && w.column && w.depth == 1) {
                column_type(&w);
            }
        } else if (strncmp(w.p, "--", 2) == 0) {
            w.p += strcspn(w.p, "\n");
        } else if (strncmp(w.p, "/*", 2) == 0) {
            const char *end = strstr(w.p + 2, "*/");
            w.p = end != NULL ? end + 2 : w.p + strlen(w.p);
            put(&w.out, " ", 1);
        } else if (*w.p == ':' && word_char(w.p[1])) {
            placeholder(&w);
        } else if (word_char(*w.p)) {
            word(&w);
        } else if (isspace((unsigned char)*w.p)) {
            w.p = blanks(w.p);
            put(&w.out, " ", 1);
        } else {
            symbol(&w);
        }
    }
    return w.out.s != NULL ? w.out.s : calloc(1, 1);
}

/* ---- errors ------------------------------------------------------------------------------------------ */

static const char *behind(const char *text, const char *what)
{
    const char *p = strstr(text, what);
    return p != NULL ? p + strlen(what) : NULL;
}

int sql_failure(struct svc *svc, struct error *e, const char *text)
{
    const char *says = sqlite3_errmsg(svc->db), *p;
    int code = sqlite3_extended_errcode(svc->db), found;
    if ((code & 255) == SQLITE_INTERRUPT) {
        found = interrupted(svc);
        return fail(e, found != 0 ? found : 1013, "%s",
                    found == 3156 ? "OCI call timed out"
                                  : "user requested cancel of current operation");
    }
    if (strncmp(says, "ORA-", 4) == 0) {
        return fail(e, atoi(says + 4), "%s", says + 11);
    }
    if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY) {
        return fail(e, 1, "unique constraint (TENON.%s) violated",
                    (p = behind(says, "failed: ")) ? p : "?");
    }
    if (code == SQLITE_CONSTRAINT_NOTNULL) {
        return fail(e, 1400, "cannot insert NULL into (%s)",
                    (p = behind(says, "failed: ")) ? p : "?");
    }
    if ((code & 255) == SQLITE_BUSY) {
        return fail(e, 54, "resource busy and acquire with NOWAIT specified or timeout expired");
    }
    if (behind(says, "no such table: ") != NULL) {
        return fail(e, 942, "table or view does not exist");
    }
    if ((p = behind(says, "no such column: ")) != NULL ||
        (p = behind(says, "has no column named ")) != NULL ||
        (p = behind(says, "no such function: ")) != NULL) {
        return fail(e, 904, "\"%s\": invalid identifier", p);
    }
    if (strstr(says, "unrecognized token") != NULL) {
        return fail(e, 911, "invalid character");
    }
    if (strstr(says, "already exists") != NULL) {
        return fail(e, 955, "name is already used by an existing object");
    }
    if ((p = behind(says, "values for")) != NULL) {
        return fail(e, 947, "not enough values");
    }
    return statement_kind(text) == 0 ? fail(e, 900, "invalid SQL statement")
                                     : fail(e, 933, "SQL command not properly ended (%s)", says);
}
