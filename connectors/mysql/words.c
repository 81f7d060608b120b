/* SPDX-License-Identifier: Apache-2.0 */
/* What a statement is by its first word: whether rows of its result are rows that it changed, and whether the session's role may
 * be another one afterwards. */
#include "mysql_conn.h"

#include <string.h>
#include <strings.h>

#define LOOK_MAX 4096 /* bytes in which a role is looked for */

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '(';
}

/* Behind blanks and comments; one with an exclamation mark is no comment. */
static const char *first(const char *p, const char *end)
{
    for (;;) {
        while (p < end && blank(*p)) {
            p++;
        }
        if (end - p > 2 && p[0] == '/' && p[1] == '*' && p[2] != '!' && p[2] != 'M') {
            for (p += 2; end - p > 1 && (p[0] != '*' || p[1] != '/'); p++) {}
            p += end - p > 1 ? 2 : 1;
        } else if (p < end && (*p == '#' || (end - p > 2 && strncmp(p, "--", 2) == 0))) {
            const char *nl = memchr(p, '\n', (size_t)(end - p));
            p = nl != NULL ? nl + 1 : end;
        } else {
            return p;
        }
    }
}

static bool is(const char *p, const char *end, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(end - p) > n && strncasecmp(p, word, n) == 0 &&
           !((p[n] | 32) >= 'a' && (p[n] | 32) <= 'z') && p[n] != '_';
}

bool my_changes_rows(tn_str sql)
{
    static const char *const words[] = {"INSERT", "REPLACE", "DELETE", "UPDATE"};
    const char *end = sql.s + sql.n, *p = first(sql.s, end);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (is(p, end, words[i])) {
            return true;
        }
    }
    return false;
}

static bool has_role(const char *p, const char *end)
{
    end = end - p > LOOK_MAX ? p + LOOK_MAX : end;
    for (; end - p >= 4; p++) {
        if ((*p | 32) == 'r' && strncasecmp(p, "role", 4) == 0) {
            return true;
        }
    }
    return false;
}

bool my_changes_role(tn_str sql, bool several)
{
    static const char *const plain[] = {"SELECT",  "INSERT", "UPDATE", "DELETE",
                                        "REPLACE", "WITH",   "SHOW"};
    const char *end = sql.s + sql.n, *p = first(sql.s, end);
    if (is(p, end, "CALL") || is(p, end, "EXECUTE")) {
        return true; /* somebody else's statements */
    }
    for (size_t i = 0; !several && i < sizeof plain / sizeof *plain; i++) {
        if (is(p, end, plain[i])) {
            return false;
        }
    }
    return has_role(p, end);
}
