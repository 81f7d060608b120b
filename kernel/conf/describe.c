/* SPDX-License-Identifier: Apache-2.0 */
/* Reference texts from a table (help, Markdown, JSON Schema), and the check of a table itself. */
#include "kernel/conf/conf.h"

#include "kernel/base/err.h"
#include "kernel/base/str.h"

#include <inttypes.h>
#include <string.h>

static const struct {
    const char *name;   /* in help and Markdown */
    const char *schema; /* members of the JSON Schema */
    uint32_t size;      /* of the struct member */
} types[] = {
    [TN_C_BOOL] = {"bool", "\"type\":\"boolean\"", sizeof(bool)},
    [TN_C_INT] = {"int", "\"type\":\"integer\"", sizeof(int64_t)},
    [TN_C_FLOAT] = {"float", "\"type\":\"number\"", sizeof(double)},
    [TN_C_STR] = {"text", "\"type\":\"string\"", sizeof(const char *)},
    [TN_C_SECRET] = {"secret", "\"type\":\"string\",\"format\":\"password\",\"writeOnly\":true",
                     sizeof(tn_secret)},
    [TN_C_DUR] = {"duration",
                  "\"type\":\"string\",\"format\":\"tenon-duration\","
                  "\"pattern\":\"^(0|[0-9]+(ms|s|m|h|d))$\"",
                  sizeof(tn_dur)},
    [TN_C_BYTES] = {"size",
                    "\"type\":[\"string\",\"integer\"],\"format\":\"tenon-bytes\","
                    "\"pattern\":\"^[0-9]+[kKmMgGtT]?$\"",
                    sizeof(tn_bytes)},
};
#define NTYPES (sizeof types / sizeof types[0])

static const char *type_name(const tn_field *f)
{
    return f->type < NTYPES && types[f->type].name != NULL ? types[f->type].name : "?";
}

static bool bounded(const tn_field *f)
{
    return f->min != 0 || f->max != 0;
}

/* "1 to 100 ms", "one of: a, b" or nothing, with `before` in front. */
static void add_rule(struct buf *out, const tn_field *f, const char *before)
{
    if (f->choices != NULL) {
        buf_printf(out, "%sone of: ", before);
        for (const char *const *c = f->choices; *c != NULL; c++) {
            buf_printf(out, "%s%s", c != f->choices ? ", " : "", **c != '\0' ? *c : "\"\"");
        }
    } else if (bounded(f)) {
        const char *unit = f->type == TN_C_DUR                             ? " ms"
                           : f->type == TN_C_BYTES                         ? " bytes"
                           : f->type == TN_C_STR || f->type == TN_C_SECRET ? " characters"
                                                                           : "";
        buf_printf(out, "%s%" PRId64 " to %" PRId64 "%s", before, f->min, f->max, unit);
    }
}

void conf_help(struct buf *out, const tn_field *fields)
{
    for (const tn_field *f = fields; f != NULL && f->name != NULL; f++) {
        buf_printf(out, "  %-28s %s\n", f->name, f->doc != NULL ? f->doc : "");
        buf_printf(out, "  %-28s (%s", "", type_name(f));
        add_rule(out, f, ", ");
        if ((f->flags & TN_F_REQUIRED) != 0) {
            buf_adds(out, ", required");
        } else if (f->type != TN_C_SECRET && f->dflt != NULL && *f->dflt != '\0') {
            buf_printf(out, ", default %s", f->dflt);
        }
        buf_adds(out, (f->flags & TN_F_DEPRECATED) != 0 ? ", deprecated)\n" : ")\n");
    }
}

/* Text of a table cell. */
static void add_cell(struct buf *out, const char *s)
{
    for (; s != NULL && *s != '\0'; s++) {
        if (*s == '|') {
            buf_adds(out, "\\|");
        } else {
            buf_addc(out, *s == '\n' ? ' ' : *s);
        }
    }
}

void conf_markdown(struct buf *out, const tn_field *fields)
{
    buf_adds(out, "| Setting | Type | Default | Allowed | Meaning |\n|---|---|---|---|---|\n");
    for (const tn_field *f = fields; f != NULL && f->name != NULL; f++) {
        buf_printf(out, "| `%s` | %s | ", f->name, type_name(f));
        if ((f->flags & TN_F_REQUIRED) != 0) {
            buf_adds(out, "*required*");
        } else if (f->dflt != NULL && *f->dflt != '\0' && f->type != TN_C_SECRET) {
            buf_addc(out, '`');
            add_cell(out, f->dflt);
            buf_addc(out, '`');
        }
        buf_adds(out, " | ");
        add_rule(out, f, "");
        buf_adds(out, (f->flags & TN_F_DEPRECATED) != 0 ? " | **Deprecated.** " : " | ");
        add_cell(out, f->doc);
        buf_adds(out, " |\n");
    }
}

static void schema_default(struct buf *out, const tn_field *f)
{
    if (f->dflt == NULL || f->type == TN_C_SECRET) {
        return;
    }
    union {
        bool b;
        int64_t i;
        double d;
    } v = {0};
    tn_field at = *f;
    at.offset = 0;
    buf_adds(out, ",\"default\":");
    if (f->type == TN_C_BOOL && conf_parse(&at, str_of(f->dflt), &v, NULL) == TN_OK) {
        buf_adds(out, v.b ? "true" : "false");
    } else if (f->type == TN_C_INT && conf_parse(&at, str_of(f->dflt), &v, NULL) == TN_OK) {
        buf_addi(out, v.i);
    } else if (f->type == TN_C_FLOAT && conf_parse(&at, str_of(f->dflt), &v, NULL) == TN_OK) {
        buf_printf(out, "%.17g", v.d);
    } else {
        buf_quote(out, str_of(f->dflt));
    }
}

static void schema_row(struct buf *out, const tn_field *f)
{
    buf_quote(out, str_of(f->name));
    buf_printf(out, ":{%s", f->type < NTYPES && types[f->type].schema ? types[f->type].schema : "");
    if (f->doc != NULL) {
        buf_adds(out, ",\"description\":");
        buf_quote(out, str_of(f->doc));
    }
    schema_default(out, f);
    if (bounded(f)) {
        bool length = f->type == TN_C_STR || f->type == TN_C_SECRET;
        bool number = f->type == TN_C_INT || f->type == TN_C_FLOAT;
        /* Sizes and durations are text in JSON: their range is told in the base unit. */
        const char *min = length ? "minLength" : number ? "minimum" : "x-tenon-minimum";
        const char *max = length ? "maxLength" : number ? "maximum" : "x-tenon-maximum";
        buf_printf(out, ",\"%s\":%" PRId64 ",\"%s\":%" PRId64, min, f->min, max, f->max);
    }
    if (f->choices != NULL) {
        buf_adds(out, ",\"enum\":[");
        for (const char *const *c = f->choices; *c != NULL; c++) {
            buf_adds(out, c != f->choices ? "," : "");
            buf_quote(out, str_of(*c));
        }
        buf_addc(out, ']');
    }
    if ((f->flags & TN_F_DEPRECATED) != 0) {
        buf_adds(out, ",\"deprecated\":true");
    }
    buf_addc(out, '}');
}

void conf_schema(struct buf *out, const tn_field *fields)
{
    buf_adds(out,
             "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\","
             "\"properties\":{");
    for (const tn_field *f = fields; f != NULL && f->name != NULL; f++) {
        buf_adds(out, f != fields ? "," : "");
        schema_row(out, f);
    }
    buf_adds(out, "},\"required\":[");
    bool first = true;
    for (const tn_field *f = fields; f != NULL && f->name != NULL; f++) {
        if ((f->flags & TN_F_REQUIRED) != 0) {
            buf_adds(out, first ? "" : ",");
            buf_quote(out, str_of(f->name));
            first = false;
        }
    }
    buf_adds(out, "],\"additionalProperties\":false}");
}

static bool good_name(const char *name)
{
    size_t n = strlen(name);
    return n >= 1 && n <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n &&
           name[0] >= 'a' && name[0] <= 'z';
}

static tn_rc check_row(const tn_field *fields, const tn_field *f, uint32_t struct_size, tn_err *err)
{
    if (!good_name(f->name)) {
        return err_set(err, TN_E_INVAL, "config: name \"%.80s\" is not [a-z][a-z0-9_]{0,62}",
                       f->name);
    }
    if (f->type >= NTYPES || types[f->type].name == NULL) {
        return err_set(err, TN_E_INVAL, "config: %s has type %u; known are 1 to %u", f->name,
                       f->type, (unsigned)NTYPES - 1);
    }
    uint32_t size = types[f->type].size;
    if (f->offset > struct_size || struct_size - f->offset < size || f->offset % size != 0) {
        return err_set(err, TN_E_INVAL, "config: %s is at offset %u with %u bytes, conf_size is %u",
                       f->name, f->offset, size, struct_size);
    }
    for (const tn_field *g = fields; g != f; g++) {
        if (strcmp(g->name, f->name) == 0) {
            return err_set(err, TN_E_INVAL, "config: %s stands in the table twice", f->name);
        }
        if (f->offset < g->offset + types[g->type].size && g->offset < f->offset + size) {
            return err_set(err, TN_E_INVAL, "config: %s and %s are bound to the same bytes",
                           g->name, f->name);
        }
    }
    if (f->doc == NULL || *f->doc == '\0') {
        return err_set(err, TN_E_INVAL, "config: %s has no doc", f->name);
    }
    if (f->min > f->max) {
        return err_set(err, TN_E_INVAL, "config: %s has min %" PRId64 " above max %" PRId64,
                       f->name, f->min, f->max);
    }
    tn_err why = TN_ERR_INIT;
    if (f->dflt != NULL && conf_parse(f, str_of(f->dflt), NULL, &why) != TN_OK) {
        return err_set(err, TN_E_INVAL, "config: the default of %s: %s", f->name, why.msg);
    }
    return TN_OK;
}

tn_rc conf_check_table(const tn_field *fields, uint32_t struct_size, tn_err *err)
{
    enum { ROWS_MAX = 256 };
    for (const tn_field *f = fields; f != NULL && f->name != NULL; f++) {
        if (f - fields >= ROWS_MAX) {
            return err_set(err, TN_E_INVAL,
                           "config: more than %d rows; does the table end with {0}?", ROWS_MAX);
        }
        tn_rc rc = check_row(fields, f, struct_size, err);
        if (rc != TN_OK) {
            return rc;
        }
    }
    return TN_OK;
}
