/* SPDX-License-Identifier: Apache-2.0 */
/* Connectors (spec 1.6): between the files that keep, try out and hand out their configurations. */
#pragma once
#include "rows.h"

/* ---- connector.c ---------------------------------------------------------------------------------- */
extern const struct api_route connector_routes[];
tn_rc connector_start(tn_err *err); /* once, before there are requests */

/* ---- connector_type.c: what the plugins of this installation say about their settings -------------- */
tn_rc connector_types_start(tn_err *err);
bool connector_type_known(const char *type);
const char *connector_type_choices(void); /* "mysql|redis|…" */
/* {requiredFields, optionalFields} of a known type; borrowed, shared by all threads: read it only. */
const json_t *connector_type_fields(const char *type);
/* Is a setting of this name, tlsKey or tls_key, a secret of any type? */
bool connector_is_secret(const char *key);
/* The member of a configuration by either of its spellings; NULL: absent. Borrowed. */
json_t *connector_member(const json_t *config, const char *key);

/* ---- connector_secret.c: secrets in configurations -------------------------------------------------- */
/* The configuration of a row as scripts need it: secrets opened. New reference, NULL with err. */
json_t *connector_config(const json_t *row, tn_err *err);
/* Seals the secrets of `config` (consumed) for connector `id`; `stored`: what it has in the store, NULL: it is new. New
 * reference, NULL with err. */
json_t *connector_seal(const char *id, json_t *config_take, const json_t *stored, tn_err *err);
/* The given configuration with the secrets of the stored row that it does not mention, opened. New
 * reference, NULL with err. */
json_t *connector_merge(const json_t *row, const json_t *given, tn_err *err);
/* Takes all secrets out of a configuration, sealed or not. */
void connector_strip(json_t *config);

/* ---- connector_run.c: work with a connector happens in a worker, never here ------------------------ */
/* How a run ended. value is what the function returned, error the report {"exception", "exceptionType", "traceback"}. */
struct connector_result {
    bool ok, timeout;
    json_t *value, *error; /* borrowed */
    const char *refused;   /* text: it could not even be started; NULL */
};
/* Calls function `func` ("test", "query") of the worker's side with these arguments. done() runs on a
 * helper thread, exactly once; it takes over the request. */
void connector_run(struct api_req *r, const char *func, json_t *args_take,
                   void (*done)(struct api_req *r, const struct connector_result *res));
tn_rc connector_run_start(tn_err *err);

tn_rc connector_services(tn_err *err); /* connector_svc.c */
