/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Elasticsearch connector share. */
#pragma once
#include "common/http.h"
#include "common/json_cut.h"

#include <stdbool.h>

#define NODES_MAX 16

struct es_conf {
    struct http_conf http;
    const char *region, *service;
    bool gzip;
    int64_t retries;
    tn_dur dead;
    tn_bytes batch;
};
struct es_node {
    char host[256];
    int64_t port;
};
struct es { /* an instance */
    const struct es_conf *conf;
    struct es_node node[NODES_MAX];
    uint32_t nnodes;
};
struct es_conn {
    struct es *inst;
    struct http *http;
    uint32_t next;                     /* node that is asked next */
    uint64_t dead_until_ns[NODES_MAX]; /* nodes that did not answer are left alone for a while */
    uint32_t failures[NODES_MAX];
    /* of scan() */
    bool scanning, by_pit, drained;
    struct grow cursor, keep,
        body; /* id of the scroll or the point in time; its life; the query without its end */
    struct grow after; /* sort values of the last hit */
    bool opensearch;   /* how a point in time is called */
    int64_t size;
};
extern const tn_host *es_host;

/* ---- ask.c ---- */
struct es_req {
    const char *method;
    tn_str path;      /* with its query */
    tn_str body;      /* absent: none */
    const char *type; /* content type of the body */
    bool safe;        /* may be carried out twice */
    uint64_t deadline_ns;
};
/* Asks one node after the other; again after 429, 502, 503, 504 and lost connections where that is safe. Statuses from 400 on are
 * errors (es_refused). */
tn_rc es_ask(struct es_conn *c, const struct es_req *req, struct http_reply *ret, tn_err *err);
/* The same, and what status came is the caller's business. */
tn_rc es_send(struct es_conn *c, const struct es_req *req, struct http_reply *ret, tn_err *err);
tn_rc es_refused(const struct http_reply *r, tn_err *err);

/* ---- bulk.c ---- */
/* Runs actions in batches; ret: {"took": ms, "done": n, "errors": [{position, op, index, id, status, error}]}. */
tn_rc es_bulk(struct es_conn *c, const tn_val *actions, const tn_val *index_, const tn_val *refresh,
              uint64_t deadline_ns, struct grow *ret, bool *ret_errors, tn_err *err);

/* ---- scan.c ---- */
tn_rc es_scan_start(struct es_conn *c, const tn_val *v, uint64_t deadline_ns, tn_err *err);
/* Hits of the next page as a JSON list; empty at the end. */
tn_rc es_scan_next(struct es_conn *c, uint64_t deadline_ns, struct grow *ret, tn_err *err);
/* Frees what the server keeps for a scan; waits a second at most. */
void es_scan_stop(struct es_conn *c);
