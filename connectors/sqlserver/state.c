/* SPDX-License-Identifier: Apache-2.0 */
/* Could a statement leave something in its session? A list of what cannot: everything else counts as yes. */
#include "state.h"

#include <string.h>
#include <strings.h>

/* Words that only mean reading and changing rows when they begin a statement. */
static const char *const harmless[] = {"SELECT", "INSERT", "UPDATE",   "DELETE",
                                       "MERGE",  "WITH",   "TRUNCATE", NULL};
/* Words that, outside texts and quoted names, may mean more than that. */
static const char *const telling[] = {
    "EXEC",     "EXECUTE",   "USE",   "BEGIN",   "DECLARE", "CREATE",   "ALTER",       "DROP",
    "SAVE",     "OPEN",      "CLOSE", "KILL",    "REVERT",  "COMMIT",   "RECONFIGURE", "SETUSER",
    "ROLLBACK", "DBCC",      "GOTO",  "CALL",    "WAITFOR", "IF",       "WHILE",       "RETURN",
    "PRINT",    "RAISERROR", "THROW", "RECEIVE", "SEND",    "READTEXT", "WRITETEXT",   NULL};

static bool is_word(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '@' || c == '#' || c == '$' || c >= 0x80;
}

static bool in(const char *const *list, const char *p, size_t n)
{
    for (; *list != NULL; list++) {
        if (strlen(*list) == n && strncasecmp(*list, p, n) == 0) {
            return true;
        }
    }
    return false;
}

/* Behind a text, a quoted name or a comment that begins at p; p itself when none does. */
static const char *skip(const char *p, const char *end)
{
    char close = *p == '[' ? ']' : *p;
    if (*p == '\'' || *p == '"' || *p == '[') {
        for (p++; p < end; p++) {
            if (*p == close && !(p + 1 < end && p[1] == close)) {
                return p + 1;
            }
            p += *p == close;
        }
        return end;
    }
    if (end - p > 1 && p[0] == '-' && p[1] == '-') {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        return nl != NULL ? nl : end;
    }
    if (end - p > 1 && p[0] == '/' && p[1] == '*') {
        int depth = 1;
        for (p += 2; p < end && depth > 0; p++) {
            if (end - p > 1 && ((p[0] == '*' && p[1] == '/') || (p[0] == '/' && p[1] == '*'))) {
                depth += p[0] == '*' ? -1 : 1;
                p++;
            }
        }
        return p < end ? p : end;
    }
    return p;
}

bool ss_leaves_state(const char *sql, size_t n)
{
    const char *p = sql, *end = sql + n;
    int words = 0, updates = 0, sets = 0;
    while (p < end) {
        if ((*p == '[' || *p == '"') && end - p > 1 && p[1] == '#') {
            return true; /* a temporary table whose name is quoted */
        }
        const char *after = skip(p, end);
        if (after != p) {
            p = after;
            continue;
        }
        if (*p == '{' || *p == ';') {
            return true; /* an escape of ODBC; several statements */
        }
        if (!is_word((unsigned char)*p)) {
            p++;
            continue;
        }
        const char *word = p;
        while (p < end && is_word((unsigned char)*p)) {
            p++;
        }
        size_t len = (size_t)(p - word);
        if (words++ == 0 && !in(harmless, word, len)) {
            return true;
        }
        if (word[0] == '#' || in(telling, word, len)) {
            return true; /* temporary tables, too: they live as long as the session */
        }
        updates += len == 6 && strncasecmp(word, "UPDATE", 6) == 0;
        sets += len == 3 && strncasecmp(word, "SET", 3) == 0;
    }
    return words == 0 || sets > updates;
}
