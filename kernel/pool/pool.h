/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of one process, kept between calls: one pool for each connector and configuration.
 *
 * A connection is ABSENT → OPENING → IDLE → LEASED → IDLE, or BROKEN → CLOSED; what a process forked from
 * this one finds is FOREIGN to it and abandoned. All functions may be called from any thread unless they
 * say otherwise; none holds a lock while a plugin opens, works, resets or closes. */
#pragma once
#include "kernel/base/buf.h"
#include "kernel/base/list.h"
#include "kernel/plug/plug.h"

#define POOL_WHERE_MAX 160 /* bytes of "script:line" */
#define POOL_POOLS_MAX 64  /* pools of a process: connectors times options they are used with */

struct pools;
struct pool;
struct pool_conn;

/* Settings of a pool; members of "pool" in a connector's configuration. */
struct pool_settings {
    int64_t min, max, max_total;
    tn_dur idle, life, connect, acquire, check, query;
};
extern const tn_field pool_fields[];

/* ---- all pools of a process -------------------------------------------------------------------------- */

/* Takes the connector plugins of the registry, which must outlive the pools; nothing is opened. */
tn_rc pools_create(const struct plug_registry *plugs, struct pools **ret, tn_err *err);
/* The descriptor by which workers count connections together (seats.c), -1: none; and where a worker has it now. */
int pools_seats(const struct pools *ps);
void pools_seats_at(struct pools *ps, int fd);
/* Closes every idle connection; no lease may be out and no reference held but by the caller's mistake,
 * which is logged. */
void pools_destroy(struct pools *ps);
/* The connector plugin, NULL: there is none of that name. */
const struct plug *pools_plugin(const struct pools *ps, const char *type);
/* The pool of connector `id` with this configuration (a JSON object); made when it is new. Keys that the
 * plugin does not know are ignored, with strict they are TN_E_CONFIG; empty texts count as absent.
 * TN_E_UNSUPP: no such type. Give it back with pool_unref(). */
tn_rc pools_get(struct pools *ps, const char *id, const char *type, tn_str config, int strict,
                struct pool **ret, tn_err *err);
void pool_ref(struct pool *p); /* by who has a reference already */
void pool_unref(struct pool *p);
/* Is there any pool at all? If not, ending and sweeping have nothing to do. */
int pools_used(const struct pools *ps);
/* The call `owner` has ended: everything it still holds is reset and goes back. leaked(user, pool id,
 * where) is told of each connection that was taken out for a transaction or stream and not given back. */
void pools_end(struct pools *ps, uint64_t owner,
               void (*leaked)(void *user, const char *id, const char *where), void *user);
/* Async-signal-safe: what the call does with connections at the moment shall end soon, with TN_E_CANCELED where the
 * connector can be told. What it begins afterwards is not concerned, so that it can tidy up. */
void pools_cancel(struct pools *ps);
/* Closes what is idle for too long or too old, keeps `min`. Returns CLOCK_MONOTONIC ns at which to come
 * again, 0 = never. Only while no call runs. */
uint64_t pools_sweep(struct pools *ps);
/* Figures as a JSON array, an object for each pool; returns a number that changes with them. */
uint64_t pools_status(struct pools *ps, struct buf *out);

/* ---- one connection ---------------------------------------------------------------------------------- */

/* A connection for the call `owner` until deadline_ns (CLOCK_MONOTONIC, 0 = the pool's own limits only).
 * One that the call used before is preferred, so a session lasts as long as the call; with exclusive
 * nobody else of the call gets it before pool_release(). `where` says who asks, for other people's error
 * messages. TN_E_LIMIT: none became free in time, and who has them; TN_E_UNAVAIL: connecting failed, or
 * the breaker is open. */
tn_rc pool_acquire(struct pool *p, uint64_t owner, const char *where, int exclusive,
                   uint64_t deadline_ns, struct pool_conn **ret, tn_err *err);
/* The work of one method is done: other threads of the call may use the connection. */
void pool_put(struct pool_conn *c);
/* The call needs it no more: reset, then idle; closed when it is broken or its reset fails. */
void pool_release(struct pool_conn *c);
/* Runs a method within deadline_ns and the pool's query limit. A connection that turns out to be dead
 * before anything was sent is replaced once, when the call had no session on it. */
tn_rc pool_invoke(struct pool_conn *c, uint32_t method, const tn_args *args, uint64_t deadline_ns,
                  tn_result *ret, tn_err *err);
tn_rc pool_emit(struct pool *p, const tn_result *result, tn_sink *sink, tn_err *err);
void pool_result_free(struct pool *p, tn_result *result);
/* Opens a connection of its own past the pool and its breaker, checks and closes it. */
tn_rc pool_probe(struct pool *p, uint64_t deadline_ns, tn_err *err);

const char *pool_id(const struct pool *p);
const tn_plugin *pool_plugin(const struct pool *p);
const tn_method *pool_methods(const struct pool *p);
struct pool *pool_of(const struct pool_conn *c);
