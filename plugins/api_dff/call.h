/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the call path share: one HTTP call of a function from its request to its answer.
 * All of it runs on the loop thread unless a comment says otherwise. */
#pragma once
#include "api.h"
#include "call_out.h"
#include "snapshot.h"

struct cache;
struct follower;
struct gate;

/* ---- options of one call (spec 2.2, 2.12) ------------------------------------------------------------- */
enum call_return { RETURN_PLAIN, RETURN_RAW, RETURN_DUMPS, RETURN_REPR, RETURN_ALL };
struct call_opts {
    uint32_t queue, timeout_s, expires_s, delay_s; /* 0 = not given */
    int64_t eta_us;                                /* 0 = not given */
    enum call_return return_type;
    int unbox; /* -1 = not given */
    bool async, save_result, has_priority;
    int32_t priority; /* of a durable call among those of its queue */
};

/* Why a call is refused; handed to whatever answers this kind of call. */
#define CHALLENGES_MAX 4
struct call_refusal {
    enum api_code code;
    const char *sub;   /* or NULL */
    struct str detail; /* JSON object or empty */
    int64_t retry_s;   /* > 0: Retry-After */
    /* WWW-Authenticate, a line for each header, and where the lines begin. */
    struct str challenge;
    uint32_t challenge_at[CHALLENGES_MAX], nchallenges;
    char message[256];
};
/* Fills it; returns false so that checks can end with it. */
bool call_refuse(struct call_refusal *why, enum api_code code, const char *sub, const char *fmt,
                 ...) TN_PRINTF(4, 5);
/* options.c: a value of the wrong type, in the validator's words (spec 0.5). Returns false. */
bool call_refuse_field(struct call_refusal *why, const char *name, tn_str value, const char *type);
void call_refusal_finish(struct call_refusal *why);

/* options.c: raw is a JSON object, JSON text of one, null or absent. */
bool options_parse(tn_str raw, struct call_opts *ret, struct call_refusal *why);

/* ---- what the caller sent ------------------------------------------------------------------------------ */
enum call_form { FORM_NORMAL, FORM_SIMPLE, FORM_OTHER };

/* Everything is valid JSON text, borrowed from the request or from the scratch buffers until the next
 * call is read. */
struct call_input {
    tn_str kwargs;  /* object */
    tn_str options; /* any value, not validated when it came in a query; absent = none */
    tn_str query;   /* object */
    tn_str body;    /* object, array or string */
};
#define SCRATCH_MEMBERS 10000 /* the most keys the scanner lets an object have */
/* kwargs.c: reads query and body of one of the four forms (spec 2.2). Uses the scratch buffers. */
bool kwargs_read(const tn_http_req *req, enum call_form form, struct call_input *ret,
                 struct call_refusal *why);
/* The same without these members of query and body (tn_auth_ops.takes). */
bool kwargs_read_without(const tn_http_req *req, enum call_form form, const tn_http_pair *hidden,
                         uint32_t nhidden, struct call_input *ret, struct call_refusal *why);
/* kwargs_hide.c: `object` without the members at the paths of that place; given back as it is when it
 * has none of them, else changed in `out` or copied to its end. False: no memory, or there too often. */
bool kwargs_hide(tn_str *object, const char *place, const tn_http_pair *hidden, uint32_t nhidden,
                 struct str *out);
/* Merges with the configured ones (spec 2.4); gives `given` back as it is when nothing is fixed. */
bool kwargs_merge(const struct snap_api *sapi, tn_str given, tn_str *ret, struct call_refusal *why);
/* kwargs.c: a value of `kwargs` (an object, JSON text of one or null) as an object, to `ret` that is
 * "{}" before. name: of the field, for the refusal. Uses the scratch buffers. */
bool kwargs_object(const tn_json_member *m, const char *name, tn_str *ret,
                   struct call_refusal *why);
/* Empties the scratch buffers: a new call is read. */
void kwargs_reset(void);
/* kwargs.c: cuts the next item off what json_inside() gave; false behind the last one. */
tn_str json_inside(tn_str array);
bool json_item(tn_str *rest, tn_str *ret);

/* httpreq.c: appends the HTTP request object of spec 2.5. */
void httpreq_write(struct str *out, const tn_http_req *req, tn_str query, tn_str body);
/* The same for what is stored: without the query in its URL and without credentials in headers, those
 * known by their name and those of the API's auth. */
struct stored_without {
    const tn_http_pair *takes; /* as tn_auth_ops.takes gives them */
    uint32_t n;
};
void httpreq_write_stored(struct str *out, const tn_http_req *req, tn_str query, tn_str body,
                          const struct stored_without *without);

/* ---- one call -------------------------------------------------------------------------------------------- */
struct call {
    tn_http_req *req;
    struct api_req *managed;        /* direct and draft calls; NULL for public routes */
    tn_call *task;                  /* while the broker has it */
    struct gate *gate;              /* whose function is asked, or has agreed */
    void (*passed)(struct call *c); /* goes on when it agrees */
    const tn_match *match;          /* of the route; lives as long as the request */
    struct call_later *later;       /* waiting for eta or delay */
    struct task_accept *accept;     /* its task is being stored */
    struct task_wait *wait;         /* for a task */
    struct task_events *events;     /* of a task, being streamed */
    struct follower *follower;      /* of a debugger run, being streamed */
    struct call *next;              /* free list */
    enum call_return return_type;
    bool unbox, draft;
    /* Record of the call: its origin's id, then the row so far. record_limit 0: none is kept. */
    struct str record;
    uint32_t record_limit, record_origin_n;
    bool api;     /* of an API, whose last outcome is known */
    bool hold;    /* its request may be written when somebody looks at it, see call_request.c */
    bool leaving; /* being released */
    enum call_form form; /* how its arguments were read; with hold */
    uint32_t looks;      /* place of its function in calls.looks; with hold */
    uint32_t cache_s;    /* 0: the result is not kept */
    uint8_t cache_key[32];
};

/* The broker's answer, whatever it is, becomes the HTTP answer. `kept`: it came from the cache. False
 * only for a kept answer whose file has gone: nothing was sent, the function must run again. */
bool respond_result(struct call *c, const tn_call_result *result, bool kept);
/* A result's value as that return type, as JSON text. */
void respond_value_json(struct str *out, const tn_call_result *result, enum call_return type);
/* respond_repr.c: the value as Python would show it with repr(). */
void respond_repr(struct str *out, const tn_call_result *result);
/* An envelope with that JSON as data. more: further members with a leading comma, or NULL; header: one
 * more, or NULL. */
void respond_data(struct call *c, tn_str data, const char *more, const tn_http_pair *header);
/* Answers with an error and ends the call. */
void respond_refusal(struct call *c, struct call_refusal *why);
/* Task failed before or while running: EFuncFailed with that exception text. */
void respond_failed(struct call *c, const char *fmt, ...) TN_PRINTF(2, 3);

/* call_request.c: the HTTP request that the function sees (spec 2.5), into `r`: written now, into the
 * scratch, or held back. False: no memory. */
bool call_request_put(struct call *c, const struct snap_func *f, const struct call_input *in,
                      bool now, tn_call_req *r);
/* May it be held back? Arguments were read in that form, with `nhidden` members left out. */
bool call_request_holds(const tn_http_req *req, uint32_t nhidden);

#define CALL_LOOKS 4096 /* functions of which it is known that they look at their request */

/* The process-wide state of the call path. */
struct calls {
    struct cache *cache;
    struct call *free; /* recycled call objects */
    unsigned nfree;
    struct call_scratch { /* valid until the next call is read */
        struct str decoded, query, body, kwargs, merged, http, vars;
        tn_json_member *members; /* SCRATCH_MEMBERS of them */
        tn_http_pair *pairs;     /* FORM_FIELDS_MAX of them */
    } scratch, late;             /* late: of a call whose request is asked for afterwards */
    uint8_t looks[CALL_LOOKS];   /* see call_request.c */
    int resources_fd;            /* O_PATH of the resource root */
    char *resources;             /* its absolute path */
};
extern struct calls calls;
/* Gives back what call_start() and snapshot_reload() made; nothing of the call path runs any more. */
void call_stop(void);
/* The current snapshot, NULL before the first one; its rows are valid for one turn of the loop. */
const struct snapshot *calls_snapshot(void);

/* ---- rules ------------------------------------------------------------------------------------------------ */
/* throttle.c: counts this call; false when a rule is exceeded. */
bool throttle_pass(const struct snap_api *sapi, int64_t wall_us, struct call_refusal *why);

/* cache.c */
struct cache *cache_create(size_t max_bytes, size_t max_entries);
void cache_destroy(struct cache *c);
/* Key of a result: function, code version and canonical kwargs (valid JSON). */
void cache_key(const struct snap_func *f, tn_str kwargs, uint8_t ret[32]);
/* A kept result, borrowed until the loop turn ends or the cache changes; false when there is none. */
bool cache_get(struct cache *c, const uint8_t key[32], uint64_t now_ns, tn_call_result *ret);
void cache_put(struct cache *c, const uint8_t key[32], uint64_t now_ns, uint32_t ttl_s,
               const tn_call_result *result);
void cache_drop(struct cache *c, const uint8_t key[32]);
/* {"entries":…,"bytes":…,"hits":…,"misses":…} */
void cache_status(const struct cache *c, struct str *out);

/* mime.c: media type of a file name or an extension ("a.csv", "csv"); application/octet-stream. */
const char *mime_of(tn_str name);
