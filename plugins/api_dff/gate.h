/* SPDX-License-Identifier: Apache-2.0 */
/* API authentication in front of calls (spec 2.3 item 2): which method protects an API, and whether a
 * request passes.
 *
 * Every protected API has an instance of its own of the method, because the realm names the API. An
 * instance lives as long as the API keeps the same, unchanged row: its nonces survive a reload of
 * everything else. An API whose row is missing or broken has none and is closed. */
#pragma once
#include "call.h"

struct gate;

/* Helper thread, inside snapshot_reload(): gives every protected API its gate, taken over from `old`
 * where nothing changed. Never leaves an API open; fails only when the rows cannot be read. */
tn_rc gates_bind(struct snapshot *to, const struct snapshot *old, tn_err *err);
/* One API by hand, for kinds whose rows are not in the snapshot. kind: "SyncAPI". rows: what
 * gates_rows() read; old: NULL or the gate until now. NULL: the API is closed. */
json_t *gates_rows(tn_err *err);
struct gate *gate_of(const char *kind, tn_str api_id, tn_str auth_id, const json_t *rows,
                     struct gate *old);
struct gate *gate_ref(struct gate *g);
void gate_unref(struct gate *g); /* any thread; NULL is allowed */

/* ---- one request; loop thread ------------------------------------------------------------------------ */
enum gate_answer {
    GATE_OPEN,   /* go on; the fields of gate_takes() are the credential */
    GATE_CLOSED, /* why says it */
    GATE_ASK     /* gate_func() decides */
};
/* g NULL: closed. */
enum gate_answer gate_check(struct gate *g, tn_str auth_id, const tn_http_req *req,
                            struct call_refusal *why);
tn_str gate_func(const struct gate *g);
tn_str gate_auth_id(const struct gate *g);
enum gate_answer gate_judge(struct gate *g, const tn_http_req *req, const tn_call_result *result,
                            struct call_refusal *why);
uint32_t gate_takes(const struct gate *g, const tn_http_pair **ret);

/* gate_ask.c: lets the gate's function decide about this call; query and body of `in` as they came.
 * passed() runs when it agreed, else the call is answered. */
void gate_ask(struct call *c, struct gate *g, const struct call_input *in,
              void (*passed)(struct call *c));

/* gate_config.c: the method of a row ("basic"), NULL when there is none; its configuration with
 * everything opened, as JSON text (malloc) for the plugin. realm may be absent. */
const char *gate_method(const char *type);
char *gate_config(const json_t *row, const char *realm, tn_err *err);
/* Seals (or opens) one secret of a row; bound to row and name. New reference or NULL. */
json_t *gate_crypt(const char *id, const char *name, const char *value, bool seal, tn_err *err);
