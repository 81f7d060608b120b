/* SPDX-License-Identifier: Apache-2.0 */
/* Statements of scripts with `?` and `??`. Input: a byte for the dialect, one for the length of a name, the name, the statement.
 * What is bound never becomes part of the statement, and a name that is quoted ends where its quotes end. */
#include "connectors/common/sql_text.h"
#include "kernel/base/err.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define SECRET "\1bound\2"

static const struct sql_dialect dialects[] = {
    {.flags = SQL_DOLLAR_PARAMS | SQL_DOLLAR_QUOTES | SQL_NESTED_NOTES, .quote = '"', .fold = 'l'},
    {.flags = SQL_BACKSLASH | SQL_MYSQL_NOTES, .quote = '`'},
    {.flags = SQL_MYSQL_NOTES, .quote = '`'},
    {.flags = SQL_BACKSLASH | SQL_MYSQL_NOTES | SQL_DOUBLE_NAMES, .quote = '`'},
    {.flags = SQL_NULL_TEXT | SQL_NESTED_NOTES, .quote = '['},
    {.flags = SQL_COLON_PARAMS | SQL_NULL_TEXT, .quote = '"', .fold = 'u'},
    {.flags = SQL_BACKSLASH | SQL_BACKSLASH_NAMES | SQL_DOLLAR_QUOTES, .quote = '`'},
    {.flags = SQL_DOLLAR_PARAMS | SQL_BACKSLASH, .quote = '"'},
};

/* Quoted parts with dots between them, and nothing else. */
static void judge_name(const struct sql_dialect *d, const char *p, size_t n)
{
    char close = d->quote == '[' ? ']' : d->quote;
    for (size_t i = 0;; i++) {
        if (i >= n || p[i++] != d->quote) {
            abort();
        }
        for (;; i++) {
            if (i >= n) {
                abort(); /* it does not end */
            }
            if (p[i] == '\\' && (d->flags & SQL_BACKSLASH_NAMES)) {
                i++;
            } else if (p[i] == close) {
                if (i + 1 < n && p[i + 1] == close) {
                    i++; /* doubled */
                } else {
                    break;
                }
            }
        }
        if (++i == n) {
            return;
        }
        if (p[i] != '.') {
            abort(); /* something follows that is no name */
        }
    }
}

static bool holds(const char *p, size_t n, const char *what, size_t len)
{
    for (size_t i = 0; i + len <= n; i++) {
        if (memcmp(p + i, what, len) == 0) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const tn_host host = {.size = sizeof host, .fail = err_set};
    if (n < 2 || n > 4096) {
        return 0;
    }
    const struct sql_dialect *d = &dialects[data[0] % (sizeof dialects / sizeof *dialects)];
    size_t len = data[1] < n - 2 ? data[1] : n - 2;
    char *text = malloc(n - 2 - len + 1), *named = malloc(len + 1); /* of exactly their size */
    memcpy(named, data + 2, len);
    memcpy(text, data + 2 + len, n - 2 - len);
    const tn_val name = {.type = TN_T_STR, .n = (uint32_t)len, .u.s = named};
    const tn_val secret = {.type = TN_T_STR, .n = sizeof SECRET - 1, .u.s = SECRET};
    const tn_val two[] = {secret, {.type = TN_T_NULL}};
    const tn_val list = {.type = TN_T_LIST, .n = 2, .u.list = two}, rows[] = {list, list};
    const tn_pair pair[] = {{name, secret}};
    const tn_val params[] = {secret,
                             name,
                             list,
                             {.type = TN_T_LIST, .n = 2, .u.list = rows},
                             {.type = TN_T_MAP, .n = 1, .u.map = pair},
                             name,
                             {.type = TN_T_LIST}};
    const tn_val all = {.type = TN_T_LIST, .n = 7, .u.list = params};
    const tn_val only = {.type = TN_T_LIST, .n = 1, .u.list = &name};
    const tn_str sql = {text, n - 2 - len};
    struct sql_text out;
    tn_err err = TN_ERR_INIT;
    if (sql_translate(&host, d, sql, &all, &out, &err) == TN_OK) {
        if (out.sql[out.n] != '\0' || strlen(out.sql) != out.n || out.nbinds > SQL_PARAMS_MAX ||
            (holds(out.sql, out.n, SECRET, sizeof SECRET - 1) &&
             !holds((const char *)data, n, SECRET, sizeof SECRET - 1) &&
             !holds(text, sql.n, "??", 2))) { /* which may make a name of it */
            abort();
        }
        sql_text_finish(&out);
    }
    if (sql_translate(&host, d, (tn_str){"SELECT ??", 9}, &only, &out, &err) == TN_OK) {
        judge_name(d, out.sql + out.label + 7, out.n - out.label - 7);
        sql_text_finish(&out);
    }
    free(text);
    free(named);
    return 0;
}
