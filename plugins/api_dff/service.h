/* SPDX-License-Identifier: Apache-2.0 */
/* What the handlers of scripts' questions share: a JSON payload in, one answer out. A refusal
 * "EntityNotFound: …" is raised by the shim as that exception (spec 3.11). Any thread. */
#pragma once
#include "store.h"

/* The payload as an object; NULL after answering. New reference. */
json_t *service_payload(tn_str payload, void *token);
/* Text of a member, "" when absent or no text; its bytes may hold NUL. */
tn_str service_text(const json_t *ask, const char *name);
void service_answer(void *token, json_t *v_take);
void service_refuse(void *token, tn_rc rc, const char *fmt, ...) TN_PRINTF(3, 4);
void service_refuse_err(void *token, const tn_err *err);

/* start(): registers what scripts may ask. */
tn_rc store_service(tn_err *err);           /* service_store.c: "store.run" */
tn_rc store_clean(int64_t *n, tn_err *err); /* removes what has expired */
tn_rc cleaner_start(tn_err *err);           /* cleaner.c */
tn_rc entity_services(tn_err *err); /* service_entity.c: "entity.list", "env.save", "env.delete" */
tn_rc sysdb_service(tn_err *err);   /* service_sysdb.c: "sysdb.run" */
tn_rc task_services(tn_err *err);   /* service_task.c: "task.submit", "task.progress" */
void sysdb_stop(void);              /* ends open transactions; the store is about to close */

/* sysdb_check.c: whether a script may run this SQL, one statement; else why not. Sets *ret_reads when it
 * changes nothing. */
bool sysdb_check(tn_str sql, bool *ret_reads, tn_err *err);
