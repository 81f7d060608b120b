/* SPDX-License-Identifier: Apache-2.0 */
/* What a script may say to the platform's own database: one statement on tables, nothing that opens
 * files, changes the connection or touches what only the kernel may (tables tn_…). */
#include "service.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define DEPTH_MAX 64 /* parentheses within each other */

/* Where a comma or a parenthesis is followed by the next table. */
enum place {
    ELSEWHERE,
    TABLES /* the list behind FROM */,
    CONDITION /* behind ON, until the next comma */
};

struct scan {
    tn_str sql;
    size_t at;
    size_t depth;
    unsigned char place[DEPTH_MAX]; /* of each open parenthesis */
};

/* Skips what says nothing: blanks, comments, and the byte order mark that SQLite takes for a blank anywhere. */
static void skip(struct scan *s)
{
    const char *p = s->sql.s;
    size_t n = s->sql.n;
    for (;;) {
        while (s->at < n && isspace((unsigned char)p[s->at])) {
            s->at++;
        }
        if (s->at + 1 < n && p[s->at] == '-' && p[s->at + 1] == '-') {
            while (s->at < n && p[s->at] != '\n') {
                s->at++;
            }
        } else if (s->at + 1 < n && p[s->at] == '/' && p[s->at + 1] == '*') {
            const char *end = memmem(p + s->at + 2, n - s->at - 2, "*/", 2);
            s->at = end != NULL ? (size_t)(end - p) + 2 : n;
        } else if (n - s->at >= 3 && memcmp(p + s->at, "\xef\xbb\xbf", 3) == 0) {
            s->at += 3;
        } else {
            return;
        }
    }
}

/* The text between the quotes that open here; a doubled closing one belongs to it. */
static tn_str quoted(struct scan *s)
{
    const char *p = s->sql.s;
    char close = p[s->at] == '[' ? ']' : p[s->at];
    size_t from = ++s->at;
    while (s->at < s->sql.n && (p[s->at] != close || (close != ']' && s->at + 1 < s->sql.n &&
                                                      p[s->at + 1] == close && ++s->at))) {
        s->at++;
    }
    tn_str text = {p + from, s->at - from};
    s->at += s->at < s->sql.n;
    return text;
}

/* What SQLite's names are made of. */
static bool in_word(unsigned char c)
{
    return isalnum(c) || c == '_' || c == '$' || c >= 0x80;
}

/* The next token: '\'' text, '"' quoted name, 'a' word, '\0' end, else the character. */
static char next(struct scan *s, tn_str *ret)
{
    skip(s);
    if (s->at >= s->sql.n) {
        return '\0';
    }
    char c = s->sql.s[s->at];
    if (c == '\'' || c == '"' || c == '`' || c == '[') {
        *ret = quoted(s);
        return c == '\'' ? c : '"';
    }
    size_t from = s->at;
    while (c != '$' && s->at < s->sql.n && in_word((unsigned char)s->sql.s[s->at])) {
        s->at++;
    }
    if (s->at > from) {
        *ret = (tn_str){s->sql.s + from, s->at - from};
        return 'a';
    }
    s->at++;
    return c;
}

static bool word_is(tn_str w, const char *z)
{
    return w.n == strlen(z) && strncasecmp(w.s, z, w.n) == 0;
}

static bool kernel_name(tn_str w)
{
    return w.n >= 3 && strncasecmp(w.s, "tn_", 3) == 0;
}

/* Keeps track of lists of tables. False: too many parentheses. */
static bool follow(struct scan *s, char kind, tn_str word)
{
    static const struct {
        const char *word;
        enum place place;
    } words[] = {{"FROM", TABLES},
                 {"JOIN", TABLES},
                 {"ON", CONDITION},
                 {"SELECT", ELSEWHERE},
                 {"WHERE", ELSEWHERE}};
    unsigned char *here = &s->place[s->depth];
    if (kind == '(') {
        if (++s->depth == DEPTH_MAX) {
            return false;
        }
        here[1] = *here == TABLES ? TABLES : ELSEWHERE;
    } else if (kind == ')' && s->depth > 0) {
        s->depth--;
    } else if (kind == ',' && *here == CONDITION) {
        *here = TABLES;
    }
    for (size_t i = 0; kind == 'a' && i < sizeof words / sizeof *words; i++) {
        if (word_is(word, words[i].word) && (words[i].place != CONDITION || *here == TABLES)) {
            *here = (unsigned char)words[i].place;
        }
    }
    return true;
}

/* Whether a text in single quotes that follows this token stands where SQLite takes it for the name of a table. */
static bool names_table(const struct scan *s, char kind, tn_str word)
{
    static const char *const words[] = {"FROM",   "JOIN",    "INTO", "UPDATE",     "TABLE", "ON",
                                        "EXISTS", "IN",      "VIEW", "REFERENCES", "TO",    "ABORT",
                                        "IGNORE", "REPLACE", "FAIL", "ROLLBACK"};
    for (size_t i = 0; kind == 'a' && i < sizeof words / sizeof *words; i++) {
        if (word_is(word, words[i])) {
            return true;
        }
    }
    return kind == '.' || ((kind == ',' || kind == '(') && s->place[s->depth] == TABLES);
}

bool sysdb_check(tn_str sql, bool *ret_reads, tn_err *err)
{
    /* Reading first; what WITH begins is found out on the way. */
    static const char *const firsts[] = {"SELECT", "VALUES", "EXPLAIN", "WITH",
                                         "INSERT", "UPDATE", "DELETE",  "REPLACE",
                                         "CREATE", "ALTER",  "DROP",    NULL};
    static const char *const writes[] = {"INSERT", "UPDATE", "DELETE", "REPLACE", NULL};
    struct scan s = {.sql = sql};
    tn_str word = TN_STR("");
    size_t first = 0;
    bool ended = false;
    if (memchr(sql.s, '\0', sql.n) != NULL) {
        api.host->fail(err, TN_E_INVAL, "the SQL holds a NUL character outside of a parameter");
        return false;
    }
    char kind = next(&s, &word);
    while (kind == 'a' && firsts[first] != NULL && !word_is(word, firsts[first])) {
        first++;
    }
    if (kind != 'a' || firsts[first] == NULL) {
        api.host->fail(err, TN_E_DENIED, "SYS_DB does not run statements that begin with \"%.*s\"",
                       (int)word.n, word.s);
        return false;
    }
    *ret_reads = first < 4;
    for (bool with = first == 3;;) {
        bool table = names_table(&s, kind, word);
        kind = next(&s, &word);
        if (kind == '\0') {
            return true;
        }
        if (ended) {
            api.host->fail(err, TN_E_DENIED, "SYS_DB runs one statement at a time");
            return false;
        }
        ended = kind == ';';
        if (kind != '\0' && strchr(":@#$", kind) != NULL) {
            api.host->fail(err, TN_E_INVAL, "SYS_DB knows no parameters but ?, so no \"%c\"", kind);
            return false;
        }
        if (!follow(&s, kind, word)) {
            api.host->fail(err, TN_E_LIMIT, "SYS_DB takes at most %d open parentheses",
                           DEPTH_MAX - 1);
            return false;
        }
        for (size_t i = 0; with && kind == 'a' && writes[i] != NULL; i++) {
            *ret_reads = *ret_reads && !word_is(word, writes[i]);
        }
        if ((kind == 'a' || kind == '"' || (kind == '\'' && table)) && kernel_name(word)) {
            api.host->fail(err, TN_E_DENIED, "SYS_DB does not reach the table \"%.*s\"",
                           (int)(word.n < 64 ? word.n : 64), word.s);
            return false;
        }
        /* CREATE TRIGGER holds several statements and would run in the platform's own writes; a
         * virtual table may reach files. */
        if (first >= 8 && kind == 'a' && (word_is(word, "TRIGGER") || word_is(word, "VIRTUAL"))) {
            api.host->fail(err, TN_E_DENIED, "SYS_DB does not make triggers or virtual tables");
            return false;
        }
    }
}
