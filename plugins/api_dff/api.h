/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this plugin share: the process context, error codes, answers, requests, routes.
 *
 * Two kinds of routes. *Managed* ones (struct api_route) run on a helper thread behind
 * api_dispatch(): trace id, credential, privilege, validation are done before run() and everything
 * may block. *Call* routes (plain tn_route rows in call_*.c) run on the loop thread and use the
 * pieces below directly: api_credential_fast(), then api_error() or stamp + envelope + api_send().
 */
#pragma once
#include "util.h"

#include <jansson.h>
#include <tenon/tenon.h>

/* ---- the process context --------------------------------------------------------------------- */
struct api_context {
    const tn_host *host;
    bool dev;            /* MODE=dev */
    const char *version; /* X-Dff-Version */
    const char *release; /* X-Dff-Release-Timestamp */
    uint8_t jwt_key[64]; /* HS256 key: SECRET when set, else derived from the installation's key */
    size_t jwt_key_len;
};
extern struct api_context api;

/* Shorthand for a platform setting; `dflt` when it is unknown or empty. */
const char *api_setting(const char *name, const char *dflt);
int64_t api_setting_int(const char *name, int64_t dflt);
bool api_setting_bool(const char *name, bool dflt);

/* ---- error codes (spec 0.2) ------------------------------------------------------------------ */
/* X(name, HTTP status, JSON number as JavaScript prints it) */
/* clang-format off */
#define API_CODES(X) \
    X(OK, 200, "200") X(EUser, 400, "400.1") X(EUserPassword, 400, "400.12") \
    X(EUserCaptcha, 400, "400.13") X(EUserAuth, 401, "401.14") X(EUserPrivilege, 401, "401.15") \
    X(EUserDisabled, 401, "401.16") X(EUserLocked, 401, "401.17") X(EBiz, 403, "403.2") \
    X(EBizCondition, 403, "403.21") X(EBizNotOwner, 403, "403.22") X(EBizBadData, 403, "403.23") \
    X(EBizBadDataStatus, 403, "403.24") X(EBizRequestConflict, 409, "409.25") \
    X(EClient, 400, "400.4") X(EClientNotFound, 404, "404.41") \
    X(EClientDuplicated, 409, "409.42") X(EClientBadRequest, 400, "400.43") \
    X(EClientUnsupported, 400, "400.44") X(EClientIP, 400, "400.45") \
    X(EClientUnprocessable, 422, "422.47") X(EClientRateLimit, 429, "429.46") X(ESys, 500, "500.5") X(ESysWebServer, 500, "500.51") \
    X(ESysDB, 500, "500.52") X(ESysCache, 500, "500.53") X(ESysLimitReached, 503, "503.1") \
    X(ESysAsyncTaskFailed, 503, "503.2") X(ESysAsyncTaskTimeout, 503, "503.21") \
    X(ESysNetwork, 503, "503.22") X(ESysStorageFull, 507, "507.1") X(EOuterSystem, 500, "500.6") \
    X(EOuterSystemNotFound, 500, "500.61") X(ENotImplemented, 500, "500.98") \
    X(EAssert, 500, "500.99") X(EAPIAuth, 401, "401.99") X(EScriptPublishFailed, 400, "400.9") \
    X(EStartupScriptDeployFailed, 400, "400.91") X(EBlueprintDeployFailed, 400, "400.92") \
    X(EFuncFailed, 599, "599.1") X(EFuncTimeout, 599, "599.2") \
    X(EFuncResultParsingFailed, 599, "599.98") X(EWorkerNoResponse, 599, "599.99")
enum api_code {
#define X(name, status, number) name,
    API_CODES(X)
#undef X
    API_NCODES
};
/* clang-format on */
uint32_t api_code_status(enum api_code code);

/* ---- stamp: the measured times, the trace id and the headers of one answer ------------------- */
#define API_MAX_HEADERS 96
struct api_stamp {
    char trace[129];
    tn_str client_time; /* echo of X-Client-Time; absent = null */
    char req_time[ISO_LEN + 1], resp_time[ISO_LEN + 1];
    char cost[24]; /* milliseconds as text */
    tn_http_pair headers[API_MAX_HEADERS];
    uint32_t nheaders;
    uint32_t flags;       /* TN_REPLY_* for api_send() */
    uint32_t api_headers; /* headers[0..api_headers) are the ones of spec 0.3 */
    uint32_t nclean; /* headers[0..nclean) have values that we made or checked (tn_http_reply) */
};
/* Takes the time, finds or makes the trace id (the same one for every stamp of a request when it
 * came with X-Trace-Id), fills the headers of spec 0.3 and CORS. Any thread; never fails, no
 * allocation. Header values point into `s` and `req`: do not move `s`. */
void api_stamp(struct api_stamp *s, const tn_http_req *req);
/* Only the trace id, for who needs it before the answer. */
void api_trace(const tn_http_req *req, char ret[129]);
/* The same with a trace id that was made by api_trace() (NULL: as above). */
void api_stamp_as(struct api_stamp *s, const tn_http_req *req, const char *trace);
/* Adds a header; name is a literal or lives until api_send(), value is borrowed until then. False
 * when the table is full. */
bool api_stamp_header(struct api_stamp *s, tn_str name, tn_str value);
/* The same for a value that cannot be malformed; not for Content-Type and what else frontends look for. */
bool api_stamp_clean(struct api_stamp *s, tn_str name, tn_str value);

/* Envelope in three writes: head, the JSON text of `data`, tail.
 *   api_envelope_head(&b);  str_text(&b, data);  api_envelope_tail(&b, &stamp, NULL); */
void api_envelope_head(struct str *b);
/* more: further members as JSON text with a leading comma (",\"pageInfo\":{…}") or NULL. */
void api_envelope_tail(struct str *b, const struct api_stamp *s, const char *more);

/* Sends body (taken, also on failure) with the stamp's headers; type: Content-Type or NULL when the
 * headers have one. Any thread. TN_E_INVAL: a header is not allowed, nothing was sent (loop
 * thread). */
tn_rc api_send(tn_http_req *req, struct api_stamp *s, uint32_t status, const char *type,
               struct str *body_take, tn_err *err);

/* The error answer of spec 0.2: HTTP status, envelope, reqDump with masked secrets; an HTML page
 * outside /api. sub: "SyncAPIDisabled" or NULL; detail: JSON text of an object or absent. Any
 * thread. */
void api_error(tn_http_req *req, enum api_code code, const char *sub, tn_str detail,
               const char *fmt, ...) TN_PRINTF(5, 6);
/* The same with a stamp of the caller, for extra headers (WWW-Authenticate, Retry-After). */
void api_error_with(tn_http_req *req, struct api_stamp *s, enum api_code code, const char *sub,
                    tn_str detail, const char *message);

/* ---- credentials ----------------------------------------------------------------------------- */
/* For public call routes on the loop thread; never blocks. True: no credential or a good one.
 * False: the credential is bad and the 401 was sent, or it is an access key, which a helper thread
 * checks: go_on() runs on the loop when the key is good. */
bool api_credential_fast(tn_http_req *req, const tn_match *match,
                         void (*go_on)(tn_http_req *req, const tn_match *match));

enum api_privilege { /* bits of api_user.privileges */
                     P_general_r = 1 << 0,
                     P_general_w = 1 << 1,
                     P_user_r = 1 << 2,
                     P_user_w = 1 << 3,
                     P_user_roleSetting = 1 << 4,
                     P_user_customPrivilege = 1 << 5,
                     P_accessKey_r = 1 << 6,
                     P_accessKey_w = 1 << 7,
                     P_systemSetting_r = 1 << 8,
                     P_systemSetting_w = 1 << 9,
                     P_debug = 1 << 10,
                     P_ALL = (1 << 11) - 1
};
struct api_user {
    json_t *row;               /* the stored user: id, username, name, email, roles[] ... */
    const char *id, *username; /* borrowed from row */
    const char *name;          /* "" when null */
    const char *auth_type;     /* "builtin.byXAuthToken", "builtin.byAccessKey" ... */
    char session[40];          /* xatid; "" without a session token */
    uint32_t privileges;
    bool is_sa;
};

/* ---- managed requests ------------------------------------------------------------------------ */
struct api_route;
struct api_req {
    tn_http_req *http;
    const struct api_route *route;
    const tn_str *params; /* values of ":name" segments */
    uint32_t nparams;
    bool dry_run; /* X-Dff-Dry-Run: true: writes are rolled back */
    bool has_user;
    struct api_user user; /* when has_user */
    json_t *query;        /* validated and converted: declared fields only; never NULL in run() */
    json_t *body;         /* validated: declared fields only; NULL without a body schema */
    char trace[129];
    char *cookie;  /* Set-Cookie value to send, malloc, or NULL */
    json_t *sent;  /* the body as it came, masked, when the operation is recorded */
    void *state;   /* the handler's, free()d with the request */
    bool replayed; /* the answer says that its Idempotency-Key was known */
};

/* Exactly one of these per managed request, any thread. `data` is taken (NULL = null). */
void api_ok(struct api_req *r, json_t *data_take);
void api_ok_page(struct api_req *r, json_t *data_take, json_t *page_info_take);
void api_ok_text(struct api_req *r, tn_str data_json); /* data as ready JSON text, borrowed */
void api_fail(struct api_req *r, enum api_code code, const char *sub, json_t *detail_take,
              const char *fmt, ...) TN_PRINTF(5, 6);
/* A kernel error as an answer: DENIED, CONFLICT, LIMIT, INVAL … become 4xx, the rest ESys (500)
 * with a generic message (the real text only in dev) and a log line. */
void api_fail_err(struct api_req *r, const tn_err *err);
/* Value of path parameter i, absent when there is none. */
tn_str api_param(const struct api_req *r, uint32_t i);

/* api_route.flags */
#define API_TOKEN_ONLY (1u << 0) /* access keys are refused */
#define API_FIELDS     (1u << 1) /* fields= is honoured */
#define API_EXPORT     (1u << 2) /* export= and charset= are honoured */
#define API_ANY_BODY   (1u << 4) /* no schema: r->body is whatever was sent */
#define API_RAW_BODY   (1u << 6) /* body is left alone; run() reads http->body itself */
#define API_MULTIPART  (1u << 5)

struct field;     /* schema.h */
struct list_spec; /* list.h */
/* One row per managed route. run() must lead to exactly one answer, now or later. */
struct api_route {
    const char *method; /* NULL ends a table */
    const char *path;
    const char *permission; /* "public", "sign-in" or a privilege ("general_w") */
    const char *doc;        /* one sentence */
    void (*run)(struct api_req *r);
    const struct field *query; /* NULL = no declared query fields */
    const struct field *body;  /* NULL = no body schema */
    const void *data;          /* the handler's own row (entity, list …) */
    uint32_t flags;            /* API_* */
};
/* Handler of every managed route; tn_route.data is the api_route. */
void api_dispatch(void *inst, tn_http_req *req, const tn_match *match);

/* ---- the seam with the call path (files call_*.c, sync*.c, respond*.c, throttle*.c, cache*.c,
 * snapshot*.c) */
/* Public call routes, TN_ROUTE_LOOP, ended by a NULL method. */
extern const tn_route call_routes[];
/* Managed routes of the call path (POST func/:id, func-many, func-draft/:id), ended by a NULL
 * method; they get a checked api_req on a helper thread and go to the loop with host->loop->post().
 */
extern const struct api_route call_api_routes[];
/* tn_api_ops.plan for multipart requests. */
void call_plan(void *inst, const tn_http_req *req, const tn_match *match, tn_http_plan *plan);
/* Helper thread, once, after the first snapshot_reload(). */
tn_rc call_start(tn_err *err);
/* Loads sync APIs and functions from the store into a new immutable snapshot and makes it the
 * current one: when it returns, every request that is looked up later sees it. Helper threads;
 * serialises itself, the store is read inside the lock so that an older picture never replaces a
 * newer one. */
tn_rc snapshot_reload(tn_err *err);
/* The same after functions have changed: cron jobs follow as well (cron_sync.c). */
tn_rc funcs_changed(tn_err *err);
/* The `data` of POST func-draft (spec 2.10) as JSON text: the task response of a debugger run. */
void call_debug_report(const tn_call_result *result, struct str *out);
