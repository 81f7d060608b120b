/* SPDX-License-Identifier: Apache-2.0 */
/* A result that is recorded while a connector works and played to a sink afterwards. Compiled into each plugin that
 * names it. Everything is copied; what goes wrong (memory, the bound) is kept and told once by tape_judge(). */
#pragma once
#include <stdbool.h>
#include <tenon/tenon.h>

struct tape_step;
struct tape {
    struct tape_step *steps;
    uint32_t n, cap;
    char *text; /* all texts, one after the other */
    size_t used, room;
    size_t max; /* bytes it may need */
    tn_rc rc;   /* the first failure */
};
void tape_init(struct tape *t, size_t max);
void tape_finish(struct tape *t);
/* One on the heap, for invoke(); NULL: no memory, err is filled. tape_free(NULL) is allowed. */
struct tape *tape_new(const tn_host *host, size_t max, tn_err *err);
void tape_free(struct tape *t);
void tape_null(struct tape *t);
void tape_bool(struct tape *t, bool b);
void tape_int(struct tape *t, int64_t i);
/* type: TN_T_STR, TN_T_BYTES or TN_T_DECIMAL; flags: TN_V_JSON. */
void tape_text(struct tape *t, uint8_t type, uint8_t flags, const char *s, size_t n);
/* Text as STR, as BYTES when it is no UTF-8. Needs part utf8. */
void tape_str(struct tape *t, const char *s, size_t n);
/* A value of any type; lists and dicts with all that is in them (keys that are no texts become empty ones). */
void tape_value(struct tape *t, const tn_val *v);
/* Is None all that was recorded? */
bool tape_is_null(const struct tape *t);
/* What follows up to tape_end() belongs to the list, or, each after its tape_key(), to the map. */
void tape_list(struct tape *t);
void tape_map(struct tape *t);
void tape_key(struct tape *t, const char *s, size_t n);
void tape_end(struct tape *t);
/* TN_OK, TN_E_NOMEM, or TN_E_LIMIT naming `max_result`. */
tn_rc tape_judge(const struct tape *t, const tn_host *host, tn_err *err);
/* Plays all that was recorded; nothing recorded is None. */
tn_rc tape_play(const struct tape *t, tn_sink *sink);
/* tn_connector_ops.emit and .result_free of a connector whose results are tapes of tape_new(). */
tn_rc tape_emit(void *inst, const tn_result *r, tn_sink *sink, tn_err *err);
void tape_result_free(void *inst, tn_result *r);
