/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: field tables bound to structs; file, environment, all problems with file:line. */
#pragma once
#include "kernel/base/buf.h"
#include <tenon/config.h>

/* One source value. */
struct conf_item {
    char *key;    /* "a.b" for nested sections */
    char *value;  /* scalar as text; lists as JSON text */
    char *where;  /* "tenon.yaml:12", "environment TENON_LISTEN", "--listen" */
    char *joined; /* a list of scalars joined with ',' (what a STR row gets), else NULL */
    int null;     /* the key stands there without a value: the default counts */
};
struct conf {
    struct conf_item *items;
    size_t n, cap;
};
/* Collected problems, one per line: "<where>: <key>: <what and what to do>". */
struct conf_problems {
    struct buf text;
    unsigned errors, warnings;
    unsigned usage; /* errors of the command line itself: the exit code is 2 */
};
void conf_init(struct conf *c);
void conf_finish(struct conf *c);
void conf_problems_finish(struct conf_problems *p);
/* Adds one problem; p may be NULL. key NULL: the problem concerns all of `where`. */
void conf_problem(struct conf_problems *p, const char *where, const char *key, const char *fmt, ...)
    TN_PRINTF(4, 5);
void conf_warning(struct conf_problems *p, const char *where, const char *key, const char *fmt, ...)
    TN_PRINTF(4, 5);
/* Reads a YAML file (mapping of scalars, lists and mappings; no tags, no aliases) and, when a folder
 * `<path>.d` (or else `conf.d` beside it) exists, its *.yaml in order. Bounded: 1 MiB, depth 16.
 * What is wrong inside goes to p; the result tells only whether the file could be read
 * (TN_E_NOTFOUND, TN_E_DENIED, TN_E_LIMIT ...). */
tn_rc conf_read_file(struct conf *c, const char *path, struct conf_problems *p, tn_err *err);
tn_rc conf_read_text(struct conf *c, const char *name, tn_str text, struct conf_problems *p);
/* The members of a JSON object (at most 1 MiB): nested objects become "a.b", lists of texts and numbers
 * "x,y", null is left out. */
tn_rc conf_read_json(struct conf *c, const char *where, tn_str text, tn_err *err);
/* "useSSL" as "use_ssl": rows of the original spell settings of connectors that way. */
void conf_snake(const char *key, char *out, size_t cap);
void conf_wipe(struct conf *c); /* conf_finish() that leaves no value in freed memory */
/* Sections of plugins from the environment: TENON_FRONTEND__HTTP__IDLE=60s sets frontend.http.idle. */
void conf_read_sections(struct conf *c, char *const *environ_, struct conf_problems *p);
/* Later wins. */
tn_rc conf_set(struct conf *c, const char *key, const char *value, const char *where);
const struct conf_item *conf_get(const struct conf *c, const char *key);
/* Parses every row of `fields` from items "<prefix><name>" into the zeroed struct `out`. Strings are
 * owned by out: conf_free(), also after an error. Unknown keys under the prefix are errors with "did
 * you mean" (with prefix "" dotted keys are left alone: they belong to other tables). Returns TN_OK or
 * TN_E_CONFIG after all problems were collected. */
tn_rc conf_bind(const struct conf *c, const char *prefix, const tn_field *fields, void *out,
                struct conf_problems *p);
void conf_free(const tn_field *fields, void *out);
/* One value by the row's rules into the member at f->offset of the struct `out` (a former text is
 * freed); out NULL only checks. err says what is wrong without naming the key. */
tn_rc conf_parse(const tn_field *f, tn_str text, void *out, tn_err *err);
/* Reference texts from the same rows. */
void conf_help(struct buf *out, const tn_field *fields); /* plain, for --help */
void conf_markdown(struct buf *out, const tn_field *fields);
void conf_schema(struct buf *out, const tn_field *fields); /* JSON Schema 2020-12 object */
/* Checks the table itself: names, types, defaults parse, ranges, offsets inside struct_size. */
tn_rc conf_check_table(const tn_field *fields, uint32_t struct_size, tn_err *err);
/* Of the names the one that was probably meant, or NULL. */
const char *conf_did_you_mean(const char *name, const tn_field *fields);
