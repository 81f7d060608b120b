/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel offers to plugins: one core table and groups of mechanisms, each a size-prefixed
 * table of its own. A group that a process does not offer (a worker has no http) is NULL. Plugins
 * import no kernel symbol; this table is all they get. Members are only appended. */
#ifndef TENON_HOST_H
#define TENON_HOST_H

#include <string.h>
#include <tenon/auth.h>
#include <tenon/calls.h>
#include <tenon/entity.h>
#include <tenon/http.h>
#include <tenon/schedule.h>
#include <tenon/subscription.h>
#include <tenon/tasks.h>
#include <tenon/types.h>
#include <tenon/value.h>

/* ---- loop: descriptors and timers on the hub's event loop; loop thread only ------------------ */
typedef struct tn_watch tn_watch;
typedef struct tn_timer tn_timer;
typedef struct tn_host_loop {
    uint32_t size;
    uint32_t rsvd;
    /* events: EPOLLIN / EPOLLOUT ...; cb runs on the loop thread. */
    tn_rc (*watch)(void *ctx, int32_t fd, uint32_t events, void (*cb)(void *user, uint32_t events),
                   void *user, tn_watch **ret, tn_err *);
    void (*watch_change)(void *ctx, tn_watch *, uint32_t events);
    void (*unwatch)(void *ctx, tn_watch *);
    /* One-shot; re-arm with timer_set. at_ns: CLOCK_MONOTONIC, 0 disarms. */
    tn_rc (*timer)(void *ctx, void (*cb)(void *user), void *user, tn_timer **ret, tn_err *);
    void (*timer_set)(void *ctx, tn_timer *, uint64_t at_ns);
    void (*timer_free)(void *ctx, tn_timer *);
    /* cb runs before every sleep; returns the longest sleep in nanoseconds it can bear,
     * UINT64_MAX = no opinion, 0 = it has work and wants to run again at once. */
    tn_rc (*prepare)(void *ctx, uint64_t (*cb)(void *user), void *user, tn_err *);
    /* From any thread: run cb on the loop thread soon. Never fails, keeps order per thread. */
    void (*post)(void *ctx, void (*cb)(void *user), void *user);
    /* From any thread: run cb on a helper thread. TN_E_LIMIT when the bounded queue is full. */
    tn_rc (*defer)(void *ctx, void (*cb)(void *user), void *user, tn_err *);
} tn_host_loop;

/* ---- http: between frontends and apis --------------------------------------------------------- */
typedef struct tn_host_http {
    uint32_t size;
    uint32_t rsvd;
    /* Frontend side, loop thread. begin(): headers are complete; matches the route and fills the
     * plan. submit(): the body is complete (parts and body are set). abort(): the client has gone
     * (before or after submit); reply() will not be called any more, release() still will.
     * malformed(): the body broke a limit or a rule: `status` 400, 408, 413, 415, 501 with text. */
    void (*begin)(void *ctx, void *frontend_inst, tn_http_req *, tn_http_plan *ret_plan);
    void (*submit)(void *ctx, tn_http_req *);
    void (*abort)(void *ctx, tn_http_req *);
    void (*malformed)(void *ctx, tn_http_req *, uint32_t status, const char *text);
    /* Api side, any thread: answer the request, exactly once. Takes body and fd in every case.
     * TN_E_INVAL: a header is not allowed; nothing was sent, answer again (only reported when
     * called on the loop thread; elsewhere the kernel answers 500 and logs). */
    tn_rc (*reply)(void *ctx, tn_http_req *, const tn_http_reply *, tn_err *);
    /* Runs once when the request is released, loop thread: free req->api, orphan a running call. After
     * an abort a request of a TN_ROUTE_LOOP route is released at once, so its handler must reach
     * everything it left behind from this callback (and must not touch req from other threads); a
     * request of another route is released only after its reply() (which is then thrown away). */
    void (*on_release)(void *ctx, tn_http_req *, void (*cb)(void *user), void *user);
    /* TN_OK, or TN_E_INVAL naming the character: may this header leave the house? */
    tn_rc (*header_check)(tn_str name, tn_str value, tn_err *);
    /* Api side, loop thread: an answer whose body comes bit by bit (server-sent events). `head` is a
     * reply without body, body_len and fd ignored; exactly once instead of reply(). TN_E_CANCELED: the
     * client had gone, the request is released. Any other error: nothing was sent, reply() is
     * still due. When the client goes later the request is released at once: reach every later
     * send from on_release(). */
    tn_rc (*stream)(void *ctx, tn_http_req *, const tn_http_reply *head, tn_err *);
    /* Copies data. TN_E_LIMIT: more than 1 MiB waits for this client; nothing was taken, drop or
     * end it. TN_E_CANCELED: the client has gone, or the server drains (release follows). */
    tn_rc (*stream_send)(void *ctx, tn_http_req *, tn_str data, tn_err *);
    void (*stream_end)(void *ctx, tn_http_req *); /* releases; what waits is still sent */
} tn_host_http;

/* ---- calls: running functions ------------------------------------------------------------------ */
typedef struct tn_host_calls {
    uint32_t size;
    uint32_t rsvd;
    /* Loop thread. Copies what it needs. TN_E_LIMIT: the queue is full (err says the bound). */
    tn_rc (*submit)(void *ctx, const tn_call_req *, tn_call **ret, tn_err *);
    /* Nobody waits any more: an unstarted call is dropped, a running one is left to its deadline.
     * done() is not called after this returns. Loop thread. */
    void (*orphan)(void *ctx, tn_call *);
    /* Published code, by script id. put/drop are staged; commit makes the staged set visible at
     * once to every call submitted afterwards and returns the new generation. Any thread; staging
     * is per thread. `marshal` is the compiled form from a publish check or empty. */
    tn_rc (*code_put)(void *ctx, tn_str script, tn_str source, tn_str marshal, tn_err *);
    void (*code_drop)(void *ctx, tn_str script);
    uint64_t (*code_commit)(void *ctx);
    /* Values a running script asks for ("env.get", "conn.get", ...). The handler runs on a helper
     * thread unless flags has TN_SERVICE_LOOP and must call answer() exactly once. */
    tn_rc (*service)(void *ctx, const char *name, uint32_t flags,
                     void (*handler)(void *user, tn_str payload, void *token), void *user, tn_err *);
    /* Any thread. rc != TN_OK: payload is the error text that the script sees. */
    void (*answer)(void *ctx, void *token, tn_rc rc, tn_str payload);
    /* Values that scripts cached (env variables ...) are stale from now on. Any thread. */
    void (*data_changed)(void *ctx);
    /* Counters for system-info and the overview: JSON text. Any thread. */
    tn_rc (*status)(void *ctx, tn_text *ret, tn_err *);
} tn_host_calls;
#define TN_SERVICE_LOOP (1u << 0)

/* ---- entities: the platform's own store; helper threads only (may block) ----------------------- */
typedef struct tn_txn tn_txn;
typedef struct tn_host_entities {
    uint32_t size;
    uint32_t rsvd;
    /* A write transaction; every other function takes it, or NULL for one of its own (writes) or
     * a snapshot read. At most one per thread. rollback(NULL) is allowed. */
    tn_rc (*begin)(void *ctx, tn_txn **ret, tn_err *);
    tn_rc (*commit)(void *ctx, tn_txn *, tn_err *);
    void (*rollback)(void *ctx, tn_txn *);
    /* Rows as a JSON array of objects, keys in column order: seq, own, joined, createTime,
     * updateTime. ret_total: all matching rows with TN_LIST_COUNT, else -1. */
    tn_rc (*list)(void *ctx, tn_txn *, const char *entity, const tn_list *, tn_text *ret_rows,
                  int64_t *ret_total, tn_err *);
    /* Insert one JSON object; unknown keys are TN_E_INVAL. Without "id" one is generated.
     * ret_id may be NULL. Unique violation: TN_E_CONFLICT, err->state names the column ("id"). */
    tn_rc (*insert)(void *ctx, tn_txn *, const char *entity, tn_str row, tn_text *ret_id, tn_err *);
    /* Set the members of the JSON object in all matching rows; ret_count rows changed. No filter is
     * TN_E_INVAL. */
    tn_rc (*update)(void *ctx, tn_txn *, const char *entity, const tn_filter *, uint32_t nfilters,
                    tn_str patch, int64_t *ret_count, tn_err *);
    tn_rc (*remove)(void *ctx, tn_txn *, const char *entity, const tn_filter *, uint32_t nfilters,
                    int64_t *ret_count, tn_err *);
    /* Free SQL with '?' parameters from a JSON array: rows as JSON array of objects (raw column
     * values), "[]" for statements without a result. */
    tn_rc (*sql)(void *ctx, tn_txn *, const char *sql, tn_str params, tn_text *ret_rows,
                 int64_t *ret_affected, tn_err *);
} tn_host_entities;

/* ---- auth: passwords, secrets, sessions; helper threads (hashing takes ~0.2 s) ------------------ */
typedef struct tn_host_auth {
    uint32_t size;
    uint32_t rsvd;
    /* argon2id in PHC string form (RFC 9106). */
    tn_rc (*password_hash)(void *ctx, tn_str password, tn_text *ret_phc, tn_err *);
    /* TN_OK, TN_E_DENIED. An absent phc takes the same time. */
    tn_rc (*password_verify)(void *ctx, tn_str password, tn_str phc, tn_err *);
    /* AEAD with the installation's key; aad binds the blob to its place ("table|column|id").
     * Text form "tn1:<key id>:<base64>". Any thread. */
    tn_rc (*seal)(void *ctx, tn_str plain, tn_str aad, tn_text *ret, tn_err *);
    tn_rc (*open)(void *ctx, tn_str sealed, tn_str aad, tn_text *ret_plain, tn_err *);
    /* 32 bytes derived from the installation's key for one purpose ("jwt", "cookie"). Any thread. */
    void (*derive_key)(void *ctx, const char *purpose, uint8_t ret_key[32]);
    /* Sliding sessions; subject + session id, kept in the store. check refreshes. Any thread. */
    tn_rc (*session_put)(void *ctx, tn_str subject, tn_str session, uint32_t ttl_s, tn_err *);
    tn_rc (*session_check)(void *ctx, tn_str subject, tn_str session, tn_err *);
    /* session absent = all of the subject; except: one to keep, may be absent. */
    void (*session_drop)(void *ctx, tn_str subject, tn_str session, tn_str except);
    /* JSON object {subject: [{"idle":s,"ttl":s,"lastAccessTime":s}]} */
    tn_rc (*session_list)(void *ctx, tn_text *ret, tn_err *);
    /* Constant time; lengths may leak. */
    int32_t (*equal)(const void *a, size_t na, const void *b, size_t nb);
    void (*random)(void *buf, size_t n);
    /* n characters of 0-9A-Za-z plus NUL into ret (n + 1 bytes). */
    void (*random_id)(char *ret, size_t n);
} tn_host_auth;

/* ---- json: strict scanning without a tree ------------------------------------------------------- */
typedef struct tn_json_member {
    tn_str key;    /* unescaped when it had no escapes, else raw with TN_JSON_KEY_ESCAPED */
    tn_str value;  /* raw JSON text of the value */
    uint32_t kind; /* TN_JSON_* */
    uint32_t flags;
} tn_json_member;
#define TN_JSON_NULL   0
#define TN_JSON_BOOL   1
#define TN_JSON_NUMBER 2
#define TN_JSON_STRING 3
#define TN_JSON_ARRAY  4
#define TN_JSON_OBJECT 5
#define TN_JSON_KEY_ESCAPED (1u << 0)
typedef struct tn_host_json {
    uint32_t size;
    uint32_t rsvd;
    /* Validates all of `text` (RFC 8259, UTF-8, depth <= 64, <= 10,000 keys an object) and, for an
     * object, stores up to cap top-level members. Duplicate keys: the last one wins, earlier ones
     * are dropped. ret_kind: TN_JSON_* of the text. TN_E_INVAL names the offset; TN_E_LIMIT. */
    tn_rc (*scan)(tn_str text, uint32_t *ret_kind, tn_json_member *ret, uint32_t cap, uint32_t *ret_n,
                  tn_err *);
    /* Writes s as a JSON string with quotes into out (cap bytes); returns the bytes it needs. */
    size_t (*quote)(tn_str s, char *out, size_t cap);
    /* Unescapes a raw JSON string (with quotes); returns the bytes needed. */
    size_t (*unquote)(tn_str raw, char *out, size_t cap);
} tn_host_json;

/* The member at a dotted path ("a.b"): the whole path as one key first, then a member for each of its
 * parts; the last of equal names. NULL: none. What tn_auth_ops.takes means by a path. `room` of cap
 * members is scratch and holds what is returned; keys are compared unescaped, up to 512 bytes. */
static inline const tn_json_member *tn_json_at(const tn_host_json *json, tn_str object, tn_str path,
                                               tn_json_member *room, uint32_t cap)
{
    for (int depth = 0; depth < 64; depth++) {
        uint32_t kind = TN_JSON_NULL, n = 0, i, whole = UINT32_MAX, part = UINT32_MAX;
        size_t dot = 0;
        while (dot < path.n && path.s[dot] != '.') {
            dot++;
        }
        if (json->scan(object, &kind, room, cap, &n, NULL) != TN_OK || kind != TN_JSON_OBJECT) {
            return NULL;
        }
        for (i = 0; i < n && i < cap; i++) {
            char text[512];
            tn_str key = room[i].key;
            if ((room[i].flags & TN_JSON_KEY_ESCAPED) != 0) {
                key.n = json->unquote(room[i].key, NULL, 0);
                key.s = text;
                if (key.n > sizeof text) {
                    continue;
                }
                json->unquote(room[i].key, text, sizeof text);
            }
            if (key.n == path.n && memcmp(key.s, path.s, key.n) == 0) {
                whole = i;
            }
            if (key.n == dot && memcmp(key.s, path.s, key.n) == 0) {
                part = i;
            }
        }
        if (whole != UINT32_MAX) {
            return &room[whole];
        }
        if (dot == path.n || part == UINT32_MAX || room[part].kind != TN_JSON_OBJECT) {
            return NULL;
        }
        object = room[part].value;
        path.s += dot + 1;
        path.n -= dot + 1;
    }
    return NULL;
}

/* ---- auths: authentication methods that protect the functions of an api ------------------------ */
typedef struct tn_auth tn_auth;
typedef struct tn_host_auths {
    uint32_t size;
    uint32_t rsvd;
    /* A new instance of the auth plugin `method` ("basic"). config: a JSON object, a member for each
     * row of the plugin's table; texts as strings, what is no text as its JSON. Its texts are not
     * kept by the kernel. TN_E_NOTFOUND: there is no such plugin. Any thread. */
    tn_rc (*attach)(void *ctx, const char *method, tn_str config, tn_auth **ret, tn_err *);
    /* Any thread, when no other uses the instance; NULL is allowed. */
    void (*detach)(void *ctx, tn_auth *);
    /* The operations of tn_auth_ops, loop thread. An optional one that the plugin does not have
     * answers 0, absent or TN_E_UNSUPP. challenge: i = 0 is the first. */
    tn_rc (*check)(void *ctx, tn_auth *, const tn_http_req *, tn_ident *ret, tn_err *);
    size_t (*challenge)(void *ctx, tn_auth *, const tn_http_req *, uint32_t i, char *ret, size_t cap);
    uint32_t (*takes)(void *ctx, tn_auth *, const tn_http_pair **ret);
    tn_str (*func)(void *ctx, tn_auth *);
    tn_rc (*judge)(void *ctx, tn_auth *, const tn_call_result *, tn_ident *ret, tn_err *);
} tn_host_auths;

/* ---- records: what happened, written off the hot path, kept by count, age and bytes --------------- */
typedef struct tn_host_records {
    uint32_t size;
    uint32_t rsvd;
    /* Any thread, never blocks. Adds one row (JSON object as for insert) to an entity with
     * TN_ENTITY_RECORDS; of each group the newest `limit` are kept (0: nothing is stored). Rows are
     * buffered and written in batches; what does not fit the bounds is dropped and counted. */
    void (*put)(void *ctx, const char *entity, tn_str group, uint32_t limit, tn_str row);
    /* Helper thread: everything that was put before is in the store. */
    tn_rc (*flush)(void *ctx, tn_err *);
} tn_host_records;

/* ---- cache: what scripts share, embedded or on a Redis server ------------------------------------- */
typedef struct tn_host_cache {
    uint32_t size;
    uint32_t rsvd;
    /* Loop thread. One command as RESP2 array of bulk strings. done() comes once, on the loop thread, now
     * or later, with one RESP2 reply; every failure is an error reply ("-ERR ...", "-WRONGTYPE ...",
     * "-OOM ...", "-UNAVAIL ..."). The reply is borrowed until it returns. */
    void (*run)(void *ctx, tn_str request, void (*done)(void *user, tn_str reply), void *user);
} tn_host_cache;

/* ---- metrics: all figures of the platform --------------------------------------------------------- */
typedef struct tn_host_metrics {
    uint32_t size;
    uint32_t rsvd;
    /* Any thread but best a helper's: JSON object {ready, platform: as calls->status(), functions:
     * {boundsUs, rows: [{script, func, statuses, buckets, sumUs, waitUs}]}, records, files: {name:
     * bytes}, process: {pid, startTimeMs, cpuSeconds, residentBytes, openFds, maxFds}}. statuses by
     * TN_CALL_*; buckets one more than boundsUs, not cumulative. */
    tn_rc (*read)(void *ctx, tn_text *ret, tn_err *);
    /* Loop thread, at once: {live, ready, reason, checks: {store, workers}}. TN_E_UNAVAIL: not ready
     * (the text is there all the same). */
    tn_rc (*health)(void *ctx, tn_text *ret, tn_err *);
} tn_host_metrics;

/* ---- the core table ------------------------------------------------------------------------------ */
typedef struct tn_host {
    uint32_t size;
    uint16_t abi_major, abi_minor;
    void *ctx;  /* first argument of what takes one; differs per plugin */
    void (*log)(void *ctx, int32_t level, const char *fmt, ...) TN_PRINTF(3, 4);  /* masks secrets */
    tn_rc (*fail)(tn_err *, tn_rc, const char *fmt, ...) TN_PRINTF(3, 4);         /* fills, returns rc */
    uint64_t (*now_ns)(void);   /* CLOCK_MONOTONIC, injectable */
    int64_t (*wall_us)(void);   /* microseconds since 1970 UTC, injectable */
    void *(*alloc)(void *ctx, size_t);
    void (*free)(void *ctx, void *);
    void (*count)(void *ctx, const char *metric, int64_t delta);
    void (*mask)(void *ctx, tn_str secret);  /* this text never appears in a log again */
    /* Value of a platform setting by its DFF name ("SECRET", "MODE", "RESOURCE_ROOT_PATH" ...);
     * NULL when unknown. Static for the life of the process. */
    const char *(*setting)(void *ctx, const char *name);
    const tn_host_loop *loop;
    const tn_host_http *http;
    const tn_host_calls *calls;
    const tn_host_entities *entities;
    const tn_host_auth *auth;
    const tn_host_json *json;
    const tn_host_auths *auths;
    const tn_host_tasks *tasks;
    const tn_host_schedules *schedules;
    const tn_host_records *records;
    const tn_host_cache *cache;
    const tn_host_metrics *metrics;
    /* The function whose call this process runs now, "script_set__script.func", into ret (cap bytes, always
     * with a NUL, cut when it is longer); returns its length, 0: none. For names that a server shows in
     * its list of clients. NULL: this process runs no calls. During invoke() only. */
    size_t (*caller)(void *ctx, char *ret, size_t cap);
    const tn_host_subs *subs;
    /* The plugins of a kind (TN_KIND_*) that this platform found usable, as `tenon plugins --schema` tells
     * them: JSON array of {kind, name, version, summary, abi, caps, config: a JSON schema, methods:
     * connectors only}. They do not change while the process lives. Any thread. NULL: not for this kind. */
    tn_rc (*plugins)(void *ctx, uint32_t kind, tn_text *ret, tn_err *);
} tn_host;

#endif
