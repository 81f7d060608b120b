/* SPDX-License-Identifier: Apache-2.0 */
/* What scripts read of sync APIs, async APIs and cron jobs, and how they change env variables
 * (spec 3.5). */
#include "cron.h"
#include "service.h"
#include "rows.h"

#include <string.h>

#define CTX api.host->ctx

/* "entity.list" {"entity", "id"?} -> rows as lists show them */
static void entity_list(void *user, tn_str payload, void *token)
{
    static const char *const kinds[] = {"syncAPI", "asyncAPI", "cronJob"};
    json_t *ask = service_payload(payload, token);
    tn_err err = TN_ERR_INIT;
    const char *kind = NULL;
    (void)user;
    if (ask == NULL) {
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        kind = text_is(service_text(ask, "entity"), kinds[i]) ? kinds[i] : kind;
    }
    if (kind == NULL) {
        service_refuse(token, TN_E_INVAL, "there is no such entity for scripts");
    } else {
        const bool one = json_object_get(ask, "id") != NULL;
        tn_list q = {.size = sizeof q, .limit = -1};
        json_t *rows = one ? store_where(NULL, kind, "id", service_text(ask, "id"), NULL, 0, &err)
                           : store_rows(NULL, kind, &q, NULL, &err);
        for (size_t i = 0; strcmp(kind, "cronJob") == 0 && i < json_array_size(rows); i++) {
            cron_state_row(json_array_get(rows, i));
        }
        if (rows != NULL) {
            service_answer(token, rows);
        } else {
            service_refuse_err(token, &err);
        }
    }
    json_decref(ask);
}

static void changed(void *token, tn_rc rc, const tn_err *err)
{
    if (rc == TN_OK) {
        api.host->calls->data_changed(CTX);
        service_answer(token, json_null());
    } else {
        service_refuse_err(token, err);
    }
}

/* "env.save" {"id", "value", "type", "title"?, "description"?} */
static void env_save(void *user, tn_str payload, void *token)
{
    json_t *ask = service_payload(payload, token);
    tn_err err = TN_ERR_INIT;
    (void)user;
    if (ask != NULL) {
        changed(token, env_put(ask, &err), &err);
        json_decref(ask);
    }
}

/* "env.delete" {"id"} */
static void env_delete(void *user, tn_str payload, void *token)
{
    json_t *ask = service_payload(payload, token);
    tn_err err = TN_ERR_INIT;
    (void)user;
    if (ask != NULL) {
        changed(token, store_delete(NULL, "envVariable", "id", service_text(ask, "id"), NULL, &err),
                &err);
        json_decref(ask);
    }
}

tn_rc entity_services(tn_err *err)
{
    tn_rc rc = api.host->calls->service(CTX, "entity.list", 0, entity_list, NULL, err);
    if (rc == TN_OK) {
        rc = api.host->calls->service(CTX, "env.save", 0, env_save, NULL, err);
    }
    return rc == TN_OK ? api.host->calls->service(CTX, "env.delete", 0, env_delete, NULL, err) : rc;
}
