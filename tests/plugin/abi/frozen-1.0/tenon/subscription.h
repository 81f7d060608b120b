/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions: topics of connectors whose messages call functions. The api that owns connectors says
 * what is subscribed, the kernel holds the subscriptions, buffers and stores messages, a trigger plugin
 * with TN_CAP_SUBSCRIBE speaks to the broker. */
#ifndef TENON_SUBSCRIPTION_H
#define TENON_SUBSCRIPTION_H

#include <tenon/tasks.h>

/* tn_sub_plan.flags, tn_sub_info.flags. MULTI: every hub of the installation subscribes; else exactly one
 * does. MEMORY: messages become calls in memory, faster than durable tasks, and lost when the hub dies
 * before they have run. */
#define TN_SUB_MULTI  (1u << 0)
#define TN_SUB_MEMORY (1u << 1)
/* Of a plan only: its task's expires_ms counts for messages that the broker does not keep. One that is acknowledged
 * (TN_DELIVER_TELL) runs however long it waits. */
#define TN_SUB_KEPT (1u << 2)

/* One (connector, topic, function) that is enabled. */
typedef struct tn_sub_plan {
    uint32_t size;
    uint32_t flags;          /* TN_SUB_* */
    tn_str topic;            /* topic, pattern or filter, as the user wrote it */
    tn_str func;             /* "set__script.func" */
    const tn_task_req *task; /* what a message runs; args, id, times are filled for each one */
    int64_t since_us;        /* wall clock: since when somebody wants it like this; 0 = not known */
} tn_sub_plan;

typedef struct tn_sub tn_sub;

/* What consume() is told. Everything is borrowed until it returns. */
typedef struct tn_sub_info {
    uint32_t size;
    uint32_t flags;   /* TN_SUB_* */
    tn_str connector; /* its id */
    tn_str topic, func;
    tn_str uid; /* 16 characters 0-9a-f: the same after every restart for this connector, topic
                   and function; for names of clients, sessions and groups */
    const void *conf; /* struct of tn_trigger_ops.sub_config, secrets opened */
    int32_t stop_fd;  /* readable: return soon */
    int32_t done_fd;  /* readable: done() has something to tell */
    int64_t
        since_us; /* of tn_sub_plan: what was sent later is wanted, even when nobody could listen yet */
} tn_sub_info;

/* tn_host_subs.deliver flags */
#define TN_DELIVER_TELL (1u << 0)  /* done() tells what became of it, under `tag` */
#define TN_DELIVER_DROP (1u << 1)  /* no room: it is thrown away, counted, and TN_OK returned */
#define TN_DELIVER_MAX  (8u << 20) /* bytes of a message */

typedef struct tn_sub_done {
    uint64_t tag;
    tn_rc
        rc; /* TN_OK: committed and synced (with TN_SUB_MEMORY: it has run); else it never will be */
    uint32_t rsvd;
} tn_sub_done;

typedef struct tn_host_subs {
    uint32_t size;
    uint32_t rsvd;
    /* ---- api side, any thread but the loop's; texts are copied ---- */
    /* All subscriptions of one connector, instead of those before; n = 0 drops them. What is the same as
     * before goes on undisturbed (its task may differ), the rest stops and starts at once. config: the
     * connector's configuration as JSON object, secrets opened. What cannot be subscribed is no error
     * here: status() says why. */
    tn_rc (*put)(void *ctx, tn_str connector, tn_str type, tn_str config, const tn_sub_plan *plans,
                 uint32_t n, tn_err *);
    /* JSON array of {topic, funcId, state ("connecting", "consuming", "failed"), error, sinceMs,
     * lastMinuteCount, received, accepted, dropped, replaced (texts that were no UTF-8), waiting, held
     * (why messages wait, or null), lag (messages behind the last one, or null)} of one connector. */
    tn_rc (*status)(void *ctx, tn_str connector, tn_text *ret, tn_err *);
    /* ---- trigger side, the thread of consume() ---- */
    /* Connected and subscribed: from now on messages come. */
    void (*consuming)(void *ctx, tn_sub *);
    /* A message: copied, kept in order, stored soon. TN_E_LIMIT: 10,000 messages or 64 MiB wait; keep it,
     * stop reading, offer it again when done_fd is readable (it is after room was made, too).
     * TN_E_INVAL: it is larger than TN_DELIVER_MAX and counted as dropped: acknowledge it. Of such a
     * message only the length is looked at; nobody needs to have read it. */
    tn_rc (*deliver)(void *ctx, tn_sub *, tn_str topic, tn_str message, uint64_t tag,
                     uint32_t flags, tn_err *);
    /* Up to cap messages whose fate is known since the last call, in order; clears done_fd. Only those
     * of this run of consume(). Returns how many; ask again while it is cap. */
    uint32_t (*done)(void *ctx, tn_sub *, tn_sub_done *ret, uint32_t cap);
    /* How many messages the broker has that are not acknowledged yet, told now and then by who knows; < 0:
     * not known. Forgotten when this run of consume() ends. */
    void (*lag)(void *ctx, tn_sub *, int64_t messages);
} tn_host_subs;

#endif
