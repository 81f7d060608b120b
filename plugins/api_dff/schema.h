/* SPDX-License-Identifier: Apache-2.0 */
/* Validation of query and body against compact tables (spec 0.5, Appendix A). */
#pragma once
#include "api.h"

enum field_type {
    F_STR = 1, /* text; min..max characters, choices, pattern */
    F_INT,     /* integer; min..max */
    F_BOOL,
    F_JSON,   /* an object */
    F_ANY,    /* anything */
    F_OBJ,    /* an object with the members `sub` */
    F_ARR,    /* an array of `sub[0]`; at least min items */
    F_TIME,   /* ISO 8601 text */
    F_COMMA,  /* query: "a,b" becomes an array */
    F_JSONSTR /* query: JSON text */
};
enum field_pattern { PAT_NONE, PAT_IDENT, PAT_SET_ID, PAT_SCRIPT_ID, PAT_OWN_ID };

#define FF_REQUIRED (1u << 0) /* "!" */
#define FF_NULL     (1u << 1) /* "?": null is accepted */

struct field {
    const char *name;    /* NULL ends a table */
    uint8_t type;        /* F_* */
    uint8_t flags;       /* FF_* */
    uint8_t pattern;     /* PAT_* */
    uint8_t op;          /* query of a list: TN_OP_*, 0 = a switch */
    int32_t min, max;    /* characters, items or range; max 0 = unbounded (F_INT: both 0) */
    const char *choices; /* "a|b|c" */
    const struct field *sub;
    const char *column; /* filter column, "alias.column" */
};

/* Body: a new object with the declared members only, or NULL and the message of spec 0.5 in `why`.
 */
json_t *schema_body(const struct field *fields, const json_t *body, char *why, size_t cap);
/* Query fields converted to their types: a new object; unknown ones are left out, "_ALL" and ""
 * too,
 * "_NULL" becomes null, a value that does not convert as well (spec 8.2/12). NULL and `why` when a
 * required one is missing or an enumeration is violated. */
json_t *schema_query(const struct field *fields, const tn_http_req *req, char *why, size_t cap);
/* Regular expression that a text field must match, NULL = none. */
const char *schema_pattern(const struct field *f);
/* One query field by name, absent when not given (the last one wins). */
tn_str query_arg(const tn_http_req *req, const char *name);
bool query_flag(const tn_http_req *req, const char *name); /* "_withCode=true" */
