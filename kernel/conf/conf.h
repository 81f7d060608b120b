/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: field tables bound to structs; file, environment, all problems with file:line. */
#pragma once
#include "kernel/base/buf.h"
#include <tenon/config.h>

/* One source value. */
struct conf_item {
    char *key;     /* "a.b" for nested sections */
    char *value;   /* scalar as text; lists as JSON text */
    char *where;   /* "tenon.yaml:12", "environment TENON_LISTEN", "--listen" */
};
struct conf {
    struct conf_item *items;
    size_t n, cap;
};
/* Collected problems, one per line: "<where>: <key>: <what and what to do>". */
struct conf_problems {
    struct buf text;
    unsigned errors, warnings;
};
void conf_init(struct conf *c);
void conf_finish(struct conf *c);
/* Reads a YAML file (mapping of scalars, lists and mappings; no tags; aliases bounded) and, when a
 * folder `<path>.d` or `conf.d` beside it exists, its *.yaml in order. Bounded: 1 MiB, depth 16. */
tn_rc conf_read_file(struct conf *c, const char *path, struct conf_problems *p, tn_err *err);
tn_rc conf_read_text(struct conf *c, const char *name, tn_str text, struct conf_problems *p);
tn_rc conf_set(struct conf *c, const char *key, const char *value, const char *where);  /* later wins */
const struct conf_item *conf_get(const struct conf *c, const char *key);
/* Parses every row of `fields` from items "<prefix><name>" into the zeroed struct `out`. Strings are
 * owned by out: conf_free(). Unknown keys under the prefix are errors with "did you mean". Returns
 * TN_OK or TN_E_CONFIG after all problems were collected. */
tn_rc conf_bind(const struct conf *c, const char *prefix, const tn_field *fields, void *out,
                struct conf_problems *p);
void conf_free(const tn_field *fields, void *out);
/* One value by the row's rules (used for connector configuration objects too). */
tn_rc conf_parse(const tn_field *f, tn_str text, void *out, tn_err *err);
/* Reference texts from the same rows. */
void conf_help(struct buf *out, const tn_field *fields);      /* plain, for --help */
void conf_markdown(struct buf *out, const tn_field *fields);
void conf_schema(struct buf *out, const tn_field *fields);    /* JSON Schema 2020-12 object */
/* Checks the table itself: names, types, defaults parse, ranges, offsets inside struct_size. */
tn_rc conf_check_table(const tn_field *fields, uint32_t struct_size, tn_err *err);
