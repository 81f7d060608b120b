/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads and answers of scripts' questions. */
#include "service.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CTX api.host->ctx

json_t *service_payload(tn_str payload, void *token)
{
    json_error_t why;
    json_t *ask = json_loadb(payload.s, payload.n, JSON_ALLOW_NUL, &why);
    if (!json_is_object(ask)) {
        json_decref(ask);
        service_refuse(token, TN_E_INVAL, "the question is no JSON object");
        return NULL;
    }
    return ask;
}

tn_str service_text(const json_t *ask, const char *name)
{
    const json_t *v = json_object_get(ask, name);
    return json_is_string(v) ? (tn_str){json_string_value(v), json_string_length(v)} : TN_STR("");
}

void service_answer(void *token, json_t *v_take)
{
    char *text = v_take != NULL ? json_dumps(v_take, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(v_take);
    if (text != NULL) {
        api.host->calls->answer(CTX, token, TN_OK, text_of(text));
        explicit_bzero(text, strlen(text)); /* passwords and configurations are among them */
    } else {
        service_refuse(token, TN_E_NOMEM, "no memory for the answer");
    }
    free(text);
}

void service_refuse(void *token, tn_rc rc, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    api.host->calls->answer(CTX, token, rc, text_of(text));
}

void service_refuse_err(void *token, const tn_err *err)
{
    service_refuse(token, err->rc != TN_OK ? err->rc : TN_E_INTERNAL, "%s",
                   err->msg[0] != '\0' ? err->msg : "it failed without saying why");
}
