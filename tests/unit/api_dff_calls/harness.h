/* SPDX-License-Identifier: Apache-2.0 */
/* A host of stubs for the call path: requests go in as text, the broker and the answer are recorded. */
#pragma once
#include "plugins/api_dff/call.h"

/* What the broker got last; texts are copies. */
struct seen_call {
    unsigned count;
    char *script, *func, *origin, *origin_id, *args, *http, *vars, *code;
    uint32_t queue, timeout_ms, expires_ms, result_ttl, flags;
    void (*done)(void *user, const tn_call_result *);
    void *user;
};
/* The last answer. */
struct seen_reply {
    unsigned count;
    uint32_t status, flags;
    char *body; /* of a file too */
    size_t body_len;
    char *fd_path;
    char headers[8192]; /* "Name: value\n" each */
};
extern struct seen_call seen_call;
extern struct seen_reply seen_reply;
extern int64_t test_wall_us; /* the clock of the stub host */
extern tn_rc test_submit_rc; /* what submit() returns */
extern unsigned test_orphans;
extern bool test_recording;
extern size_t test_records;
/* rows of tasks that were put */ /* false: nothing is copied (benchmark) */
extern char test_resources[64];   /* a fresh folder */

void harness_open(void);
void harness_close(void);
/* New snapshot from JSON rows. */
void harness_load(const char *funcs, const char *scripts, const char *apis);
/* One request: "GET", "/api/v1/sync/x?a=1", headers "name: value\n…" (lower case) or NULL, body or NULL. */
void harness_request(const char *method, const char *target, const char *headers, const char *body);
void harness_request_n(const char *method, const char *target, const char *headers,
                       const void *body, size_t n);
/* Files of a multipart request that follows; copied. */
void harness_parts(const tn_http_part *parts, uint32_t n);
/* The worker answers what was submitted. */
void harness_finish(const tn_call_result *r);
/* Shorthands: a value of that kind, with response control or NULL. */
void harness_value(uint32_t kind, const char *value, const char *control);
void harness_status(uint32_t status, const char *error);
/* The client goes away before the answer. */
void harness_abort(void);
/* Value of a header of the last answer, or NULL; static buffer. */
const char *harness_header(const char *name);
