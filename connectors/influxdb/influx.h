/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the InfluxDB connector share. */
#pragma once
#include "common/http.h"
#include "common/json_cut.h"

#include <stdbool.h>

struct ix_conf {
    struct http_conf http;
    const char *database, *retention_policy, *precision, *consistency, *version, *org, *bucket;
    bool gzip;
    tn_bytes batch;
    int64_t chunk_size;
};
struct ix { /* an instance */
    const struct ix_conf *conf;
    struct http_conf http; /* with the auth that the version means */
    struct grow base;      /* "http://host:port" */
    bool v2;
};
struct ix_conn {
    struct ix *inst;
    struct http *http;
    char *database;      /* of switch_database(); NULL: that of the configuration */
    bool streaming;      /* a chunked answer is being read */
    struct grow chunk;   /* one document of it */
    size_t used;         /* of the bytes in `ahead` */
    struct grow ahead;   /* read, not yet part of a document */
    struct json_iter at; /* series of the document that were not given out yet */
    bool in_chunk;
};
extern const tn_host *ix_host;

/* What emit() makes of the text. */
enum { IX_NONE, IX_TRUE, IX_RESULTS, IX_SERIES, IX_JSON, IX_CSV };
struct ix_result {
    int form;
    bool dicts;
    struct grow text;
};

/* ---- ask.c ---- */
struct ix_query {
    tn_str sql, params; /* params: a JSON object, or absent */
    const tn_val *database, *epoch, *retention_policy;
    int64_t chunk_size; /* 0: the whole answer at once */
};
/* The answer of /query, with the errors of its statements raised. A chunked one is only begun. */
tn_rc ix_ask(struct ix_conn *c, const struct ix_query *q, uint64_t deadline_ns, struct grow *ret,
             tn_err *err);
/* The next series of a chunked answer; *ret_more false: it has ended. */
tn_rc ix_next(struct ix_conn *c, uint64_t deadline_ns, struct grow *ret, bool *ret_more,
              tn_err *err);
/* An answer with an error as an error. */
tn_rc ix_refused(const struct http_reply *r, tn_err *err);
tn_rc ix_ping(struct ix_conn *c, uint64_t deadline_ns, tn_err *err);
/* Does the server accept us? Cheap. */
tn_rc ix_sign_in(struct ix_conn *c, uint64_t deadline_ns, tn_err *err);
tn_rc ix_flux(struct ix_conn *c, tn_str flux, const tn_val *params, uint64_t deadline_ns,
              struct grow *ret, tn_err *err);
const char *ix_database(const struct ix_conn *c);

/* ---- extern.c ---- */
/* Appends the member "extern" with each of params as a variable, and all as the record params. TN_E_INVAL names what cannot be one. */
tn_rc ix_extern(struct grow *to, const tn_val *params, tn_err *err);

/* ---- line.c: the line protocol ---- */
struct ix_point {
    const tn_val *measurement, *tags, *fields, *time;
};
/* Appends a line. precision: n, u, ms, s, m or h. TN_E_INVAL names what cannot be written. */
tn_rc ix_line(const tn_host *host, struct grow *to, const struct ix_point *p, const char *precision,
              tn_err *err);
/* "2026-01-31T08:30:00.25+01:00" as nanoseconds since 1970. */
int ix_time(tn_str text, int64_t *ret_ns);

/* ---- write.c ---- */
struct ix_target {
    const tn_val *database, *precision, *retention_policy;
};
tn_rc ix_write(struct ix_conn *c, const struct ix_target *to, const tn_val *points,
               uint64_t deadline_ns, tn_err *err);
tn_rc ix_write_lines(struct ix_conn *c, const struct ix_target *to, const tn_val *lines,
                     uint64_t deadline_ns, tn_err *err);

/* ---- csv.c: answers of Flux ---- */
/* Rows of annotated CSV as a list of dicts. TN_E_REMOTE: it is none. */
tn_rc ix_csv_emit(const tn_host *host, tn_str text, tn_sink *sink, tn_err *err);
/* 0: an error of the query is in it (a table of error, reference), which is filled into err. */
int ix_csv_check(const tn_host *host, tn_str text, tn_err *err);

/* ---- emit.c ---- */
tn_rc ix_emit(void *inst, const tn_result *result, tn_sink *sink, tn_err *err);
