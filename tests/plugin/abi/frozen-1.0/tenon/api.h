/* SPDX-License-Identifier: Apache-2.0 */
/* Api plugins own one vocabulary: routes, envelope, error codes, entity tables. */
#ifndef TENON_API_H
#define TENON_API_H

#include <tenon/entity.h>
#include <tenon/http.h>

/* tn_route.flags */
#define TN_ROUTE_LOOP      (1u << 0) /* handler runs on the loop thread and never blocks; without
                                        it the handler runs on a helper thread and may block */
#define TN_ROUTE_MULTIPART (1u << 1) /* multipart bodies are parsed, files spooled */

typedef struct tn_route tn_route;

/* What the router found. `params` are the values of ":name" segments in order (decoded), then, for
 * a path that ends in "*", the rest. Borrowed until release. */
typedef struct tn_match {
    const tn_route *route;
    const tn_str *params;
    uint32_t nparams;
    uint32_t rsvd;
} tn_match;

struct tn_route {
    const char *method;      /* "GET", "POST" ...; NULL ends the table */
    const char *path;        /* ":name" is one segment, a last segment "*" takes the rest */
    const char *permission;  /* "public", "sign-in" or a privilege; NULL: registration fails */
    uint32_t flags;          /* TN_ROUTE_* */
    uint32_t rsvd;
    uint64_t max_body;       /* bytes, 0 = the server's default */
    /* Must lead to exactly one host->http->reply(), now or later, from any thread. */
    void (*handler)(void *inst, tn_http_req *req, const tn_match *match);
    const void *data;        /* the api's own row: parameter schema and so on */
    const char *doc;         /* one sentence for the OpenAPI document */
};

typedef struct tn_api_ops {
    uint32_t size;
    uint32_t rsvd;
    const char *const *prefixes;  /* path prefixes whose unmatched requests belong to this api */
    const tn_route *routes;
    /* No route matched (status 404), the body was too large (413), malformed (400), the server is
     * overloaded (503): answer in the api's own vocabulary. Loop thread. */
    void (*refuse)(void *inst, tn_http_req *req, uint32_t status, const char *text);
    /* Store is open and entities are defined: load snapshots, register services, start. Helper
     * thread, once, before READY. */
    tn_rc (*start)(void *inst, tn_err *);
    /* Optional: what the plan for a multipart request should use; NULL = defaults. */
    void (*plan)(void *inst, const tn_http_req *req, const tn_match *match, tn_http_plan *plan);
    /* Entity definitions of this vocabulary, ends with a row of NULL name. */
    const tn_entity *entities;
    const tn_migration *migrations;
} tn_api_ops;

#endif
