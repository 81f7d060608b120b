/* SPDX-License-Identifier: Apache-2.0 */
/* Annotated CSV, in which Flux answers: tables with types in lines that begin with #. */
#include "common/civil.h"
#include "influx.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 1024

/* ---- records ----------------------------------------------------------------------------------------- */

/* Fields of one record; quoted ones point behind their quote and still have their doubled quotes. */
struct record {
    tn_str field[COLUMNS_MAX];
    uint8_t doubled[COLUMNS_MAX];
    uint32_t n;
};

/* Takes a record from *pp. 0: the text has ended; -1: it is no CSV. An empty line is a record of no field. */
static int read_record(const char **pp, const char *end, struct record *r)
{
    const char *p = *pp;
    r->n = 0;
    if (p >= end) {
        return 0;
    }
    if (*p == '\r' || *p == '\n') {
        p += *p == '\r' && p + 1 < end && p[1] == '\n' ? 2 : 1;
        *pp = p;
        return 1;
    }
    for (;;) {
        const char *from = p;
        if (r->n == COLUMNS_MAX) {
            return -1;
        }
        r->doubled[r->n] = 0;
        if (p < end && *p == '"') {
            from = ++p;
            while (p < end && (*p != '"' || (p + 1 < end && p[1] == '"'))) {
                r->doubled[r->n] |= *p == '"';
                p += *p == '"' ? 2 : 1;
            }
            if (p >= end) {
                return -1;
            }
            r->field[r->n++] = (tn_str){from, (size_t)(p - from)};
            p++;
        } else {
            while (p < end && *p != ',' && *p != '\r' && *p != '\n') {
                p++;
            }
            r->field[r->n++] = (tn_str){from, (size_t)(p - from)};
        }
        if (p < end && *p == ',') {
            p++;
            continue;
        }
        if (p < end && *p != '\r' && *p != '\n') {
            return -1;
        }
        p += p + 1 < end && *p == '\r' && p[1] == '\n' ? 2 : p < end;
        *pp = p;
        return 1;
    }
}

static int is(tn_str text, const char *word)
{
    return text.n == strlen(word) && memcmp(text.s, word, text.n) == 0;
}

static void plain_text(const struct record *r, uint32_t i, struct grow *to)
{
    grow_clear(to);
    for (size_t k = 0; k < r->field[i].n; k++) {
        grow_char(to, r->field[i].s[k]);
        k += r->doubled[i] && r->field[i].s[k] == '"';
    }
}

/* ---- values ------------------------------------------------------------------------------------------ */

enum { C_TEXT, C_LONG, C_UNSIGNED, C_DOUBLE, C_BOOL, C_TIME };
static const struct {
    const char *name;
    uint8_t type;
} types[] = {{"long", C_LONG},
             {"unsignedLong", C_UNSIGNED},
             {"double", C_DOUBLE},
             {"boolean", C_BOOL},
             {"dateTime", C_TIME},
             {"dateTime:RFC3339", C_TIME},
             {"dateTime:RFC3339Nano", C_TIME}};

static uint8_t type_of(tn_str name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (is(name, types[i].name)) {
            return types[i].type;
        }
    }
    return C_TEXT; /* string, duration, base64Binary and what comes later */
}

/* A cell by its type; what does not look like it stays a text. room keeps what the value borrows. */
static tn_val value_of(const struct record *r, uint32_t i, uint8_t type, struct grow *room)
{
    char *stop = NULL;
    int64_t ns;
    plain_text(r, i, room);
    const tn_val text = {
        .type = TN_T_STR, .n = (uint32_t)room->n, .u.s = room->n != 0 ? room->s : ""};
    if (room->n == 0) { /* CSV has no other way to say that there is nothing */
        return (tn_val){.type = TN_T_NULL};
    }
    switch (type) {
    case C_LONG:
    case C_UNSIGNED: {
        const tn_val v = json_value((tn_str){room->s, room->n});
        return v.type == TN_T_INT || (v.flags & TN_V_JSON && json_valid((tn_str){room->s, room->n}))
                   ? v
                   : text;
    }
    case C_DOUBLE: {
        double f = strtod(room->s, &stop);
        return *stop == '\0' ? (tn_val){.type = TN_T_FLOAT, .u.f = f} : text;
    }
    case C_BOOL:
        return (tn_val){.type = TN_T_BOOL, .u.i = room->s[0] == 't'};
    case C_TIME:
        if (ix_time((tn_str){room->s, room->n}, &ns)) {
            return (tn_val){.type = TN_T_TIME, .u.i = ns / 1000 - (ns % 1000 < 0)};
        }
        return text;
    default:
        return text;
    }
}

/* ---- tables ------------------------------------------------------------------------------------------ */

struct table {
    struct record head, dflt;
    uint8_t type[COLUMNS_MAX];
    int has_head, error;
};

/* Annotations, the header, an empty line: 1 when the record was one of these. */
static int take_head(struct table *t, const struct record *r)
{
    if (r->n == 0) {
        *t = (struct table){.has_head = 0};
        return 1;
    }
    if (r->field[0].n != 0 && r->field[0].s[0] == '#') {
        if (t->has_head) {
            *t = (struct table){.has_head = 0};
        }
        for (uint32_t i = 1; i < r->n && is(r->field[0], "#datatype"); i++) {
            t->type[i] = type_of(r->field[i]);
        }
        if (is(r->field[0], "#default")) {
            t->dflt = *r;
        }
        return 1;
    }
    if (!t->has_head) {
        t->head = *r;
        t->has_head = 1;
        t->error = r->n >= 2 && (is(r->field[0], "error") || is(r->field[1], "error"));
        return 1;
    }
    return 0;
}

static tn_rc emit_row(const struct table *t, const struct record *r, struct grow *room,
                      tn_sink *sink)
{
    tn_rc rc = sink->ops->map_begin(sink, r->n);
    for (uint32_t i = 1; rc == TN_OK && i < r->n && i < t->head.n; i++) {
        plain_text(&t->head, i, room);
        rc = room->rc == TN_OK
                 ? sink->ops->key(sink, room->n != 0 ? room->s : "", (uint32_t)room->n)
                 : room->rc;
        const struct record *from = r->field[i].n == 0 && i < t->dflt.n && t->dflt.field[i].n != 0
                                        ? &t->dflt
                                        : r;
        tn_val v = value_of(from, i, t->type[i], room);
        rc = rc == TN_OK && room->rc == TN_OK ? sink->ops->scalar(sink, &v)
             : rc != TN_OK                    ? rc
                                              : room->rc;
    }
    return rc == TN_OK ? sink->ops->map_end(sink) : rc;
}

tn_rc ix_csv_emit(const tn_host *host, tn_str text, tn_sink *sink, tn_err *err)
{
    const char *p = text.s, *end = text.s + text.n;
    struct table *t = calloc(1, sizeof *t);
    struct record *r = calloc(1, sizeof *r);
    struct grow room = {0};
    int more = 1;
    tn_rc rc = t != NULL && r != NULL ? sink->ops->list_begin(sink, -1)
                                      : host->fail(err, TN_E_NOMEM, "no memory for the result");
    while (rc == TN_OK && (more = read_record(&p, end, r)) > 0) {
        if (!take_head(t, r)) {
            rc = emit_row(t, r, &room, sink);
        }
    }
    if (rc == TN_OK && more < 0) {
        rc = host->fail(err, TN_E_REMOTE, "the answer is no CSV that can be read");
    }
    rc = rc == TN_OK ? sink->ops->list_end(sink) : rc;
    grow_free(&room);
    free(r);
    free(t);
    return rc;
}

int ix_csv_check(const tn_host *host, tn_str text, tn_err *err)
{
    const char *p = text.s, *end = text.s + text.n;
    struct table *t = calloc(1, sizeof *t);
    struct record *r = calloc(1, sizeof *r);
    struct grow room = {0};
    int more = 1, ok = t != NULL && r != NULL;
    if (!ok) {
        host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    while (ok && (more = read_record(&p, end, r)) > 0) {
        if (!take_head(t, r) && t->error) {
            plain_text(r, is(t->head.field[0], "error") || r->n < 2 ? 0 : 1, &room);
            host->fail(err, TN_E_REMOTE, "%.400s", room.s != NULL ? room.s : "the query failed");
            ok = 0;
        }
    }
    if (ok && more < 0) {
        host->fail(err, TN_E_REMOTE, "the answer is no CSV that can be read");
        ok = 0;
    }
    grow_free(&room);
    free(r);
    free(t);
    return ok;
}
