/* SPDX-License-Identifier: Apache-2.0 */
/* Shaping of rows that several entities share. */
#pragma once
#include "crud.h"

/* Renames the joined lock owner (_lu_username …) to lockedByUserUsername/Name. */
void row_lock(json_t *row, const char *from, const char *to);
void row_pinned(json_t *row); /* isPinned from pinTime */
void row_rename(json_t *row, const char *from, const char *to);
/* Who holds a lock that stops the caller: a set or script locked by someone else, caller not sa. */
bool row_locked_for(const struct api_req *r, const json_t *row);
const char *row_text(const json_t *row, const char *key); /* "" when absent or null */

extern const struct crud script_set_crud, script_crud, env_crud, user_crud;
/* Route tables, each ended by a NULL method. */
extern const struct api_route auth_routes[], user_routes[], script_set_routes[], script_routes[],
    publish_routes[], func_routes[], env_routes[], func_api_routes[], index_routes[],
    openapi_routes[], monitor_routes[], api_auth_routes[], access_key_routes[], task_routes[],
    func_store_routes[], func_cache_routes[];

/* All routes of this vocabulary, ended by a NULL method. */
const tn_route *api_routes(void);

/* Serialises what changes published code: the transaction, code_put and the snapshot keep one
 * order. */
void code_lock(void);
void code_unlock(void);
/* Removes a script's functions inside txn. */
tn_rc funcs_drop(tn_txn *txn, const char *script_id, tn_err *err);
/* Inserts the functions of `api_funcs` (items of spec 1.4). */
tn_rc funcs_store(tn_txn *txn, const char *script_id, const json_t *api_funcs, tn_err *err);
char *set_of_script(const char *script_id); /* part before the first "__", malloc */

/* access_key.c: the secret of a row that was read with its secretCipher; host->free() it. */
tn_rc access_key_secret(const json_t *row, tn_text *ret, tn_err *err);

/* All system settings with their values, defaults below stored ones; NULL on error. index.c */
json_t *system_settings(tn_err *err);

tn_rc first_start(tn_err *err);  /* setup.c */
tn_rc env_services(tn_err *err); /* env.c */
/* Makes or changes the variable {"id", "type", "value", "title", "description"}. */
tn_rc env_put(const json_t *ask, tn_err *err);
tn_rc sign_service(tn_err *err); /* index.c */
