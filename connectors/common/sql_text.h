/* SPDX-License-Identifier: Apache-2.0 */
/* The parameter language of all SQL connectors (`?` and `??`, spec 4.1.2) as statements with bound
 * parameters. Compiled into each plugin that names it; knows no client library. */
#pragma once
#include <tenon/tenon.h>

/* sql_dialect.flags */
#define SQL_DOLLAR_PARAMS (1u << 0) /* placeholders are $1, $2 …; otherwise ? */
#define SQL_BACKSLASH     (1u << 1) /* a backslash escapes inside '…' and "…" */
#define SQL_DOLLAR_QUOTES (1u << 2) /* $tag$ … $tag$ is a text; E'…' knows backslashes */
#define SQL_MYSQL_NOTES                                                                            \
    (1u                                                                                            \
     << 3) /* # begins a comment, -- only before a blank; the one with an exclamation mark is none */
#define SQL_NESTED_NOTES    (1u << 4) /* comments nest */
#define SQL_NULL_TEXT       (1u << 5) /* None is the word NULL: a bound one would need a type */
#define SQL_COLON_PARAMS    (1u << 6) /* placeholders are :1, :2 … */
#define SQL_BACKSLASH_NAMES (1u << 7) /* a backslash escapes inside quoted names, too */
#define SQL_Q_QUOTES        (1u << 8) /* q'[ … ]' is a text, with any pair of brackets or one character */
#define SQL_DOUBLE_NAMES    (1u << 9) /* "…" is a name: a backslash is one of its characters */

struct sql_text;

struct sql_dialect {
    uint32_t flags;
    char quote; /* of identifiers: '"', '`' or '[' */
    char fold;  /* what the server does to names without quotes: 'l', 'u' or 0 */
    /* Writes a value, which is no list and no dict, with sql_text_put(); NULL: it is bound. */
    tn_rc (*value)(void *user, struct sql_text *out, const tn_val *v, tn_err *err);
    void *user;
};
/* A statement ready to be sent. The bound values are borrowed from the parameters. */
struct sql_text {
    char *sql; /* NUL-terminated */
    size_t n, cap;
    const tn_val **binds;
    uint32_t nbinds, cap_binds;
    size_t
        label; /* bytes in front that the caller did not write: a comment that names the function */
};

#define SQL_PARAMS_MAX 65535u

/* Substitutes `params` (a list; a scalar, dict or set is a list of one; NULL, an empty list, 0 and "" leave the
 * text as it is). `?` binds a value; a list becomes `a, b`, a list of lists `(a, b), (c, d)`, a dict
 * `k = v, k2 = v2` with quoted names; an empty list becomes NULL. `??` is a name (or a list of names),
 * which is quoted; dots separate its parts. Longer runs of `?`, texts, comments and quoted names are left
 * alone; surplus placeholders stay, surplus parameters are ignored. Blanks around the text are cut. With
 * SQL_DOLLAR_PARAMS a statement that has $1 … outside of texts keeps them and gets the list in order; its `?` are operators.
 * TN_E_INVAL names what is wrong. *ret is finished with sql_text_finish() after success. */
tn_rc sql_translate(const tn_host *host, const struct sql_dialect *d, tn_str sql,
                    const tn_val *params, struct sql_text *ret, tn_err *err);
void sql_text_finish(struct sql_text *t);
/* Appends to the statement, for sql_dialect.value. */
tn_rc sql_text_put(const tn_host *host, struct sql_text *t, const char *p, size_t n, tn_err *err);
