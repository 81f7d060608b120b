/* SPDX-License-Identifier: Apache-2.0 */
/* Connectors (spec 1.6): between the files that keep, try out and hand out their configurations. */
#pragma once
#include "rows.h"

/* ---- connector.c ---------------------------------------------------------------------------------- */
/* The configuration of a row as scripts need it: secrets opened. New reference, NULL with err. */
json_t *connector_config(const json_t *row, tn_err *err);
/* Seals the secrets of `config` (consumed) for connector `id`. New reference, NULL with err. */
json_t *connector_seal(const char *id, json_t *config_take, tn_err *err);
bool connector_type_known(const char *type);
extern const struct api_route connector_routes[];

/* ---- connector_run.c: work with a connector happens in a worker, never here ------------------------ */
/* How a run ended. value is JSON text, error the report {"exception", "exceptionType", "traceback"}. */
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
