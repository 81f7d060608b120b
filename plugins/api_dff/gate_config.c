/* SPDX-License-Identifier: Apache-2.0 */
/* From a row of API auth to the configuration of its plugin. Secrets are sealed in the row, each bound
 * to the row and to the name it stands under. */
#include "gate.h"
#include "secret.h"

const char *gate_method(const char *type)
{
    static const struct {
        const char *type, *method;
    } methods[] = {{"fixedField", "fixed_field"},
                   {"httpBasic", "basic"},
                   {"httpDigest", "digest"},
                   {"func", "func"}};
    for (size_t i = 0; type != NULL && i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(type, methods[i].type) == 0) {
            return methods[i].method;
        }
    }
    return NULL;
}

json_t *gate_crypt(const char *id, const char *name, const char *value, bool seal, tn_err *err)
{
    struct str aad = {0};
    str_printf(&aad, "biz_main_api_auth|configJSON|%s|%s", id, name);
    json_t *text = secret_crypt(str_view(&aad).s, value, seal, err);
    str_free(&aad);
    return text;
}

/* Copies of the rows with the member `cipher` opened into `plain`. */
static json_t *opened(const char *id, const json_t *list, const char *name, const char *cipher,
                      const char *plain, tn_err *err)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        const char *key = json_string_value(json_object_get(row, name));
        const char *sealed = json_string_value(json_object_get(row, cipher));
        json_t *value = key != NULL && sealed != NULL ? gate_crypt(id, key, sealed, false, err)
                                                      : NULL;
        if (value == NULL) {
            if (key == NULL || sealed == NULL) {
                api.host->fail(err, TN_E_CONFIG, "item %zu of API auth %s is incomplete", i + 1,
                               id);
            }
            json_decref(out);
            return NULL;
        }
        json_t *copy = json_copy((json_t *)(uintptr_t)row);
        json_object_del(copy, cipher);
        json_object_set_new(copy, plain, value);
        json_array_append_new(out, copy);
    }
    return out;
}

char *gate_config(const json_t *row, const char *realm, tn_err *err)
{
    const char *id = json_string_value(json_object_get(row, "id"));
    const char *type = json_string_value(json_object_get(row, "type"));
    const char *method = gate_method(type);
    json_t *stored = json_object_get(row, "configJSON");
    json_t *config = json_is_string(stored) ? json_loadb(json_string_value(stored),
                                                         json_string_length(stored), 0, NULL)
                                            : json_incref(stored);
    json_t *out = NULL;
    char *text = NULL;
    if (id == NULL || method == NULL || !json_is_object(config)) {
        api.host->fail(err, TN_E_CONFIG, "its row has no usable type and configuration");
    } else if (strcmp(method, "func") == 0) {
        out = json_pack("{s:O?}", "func", json_object_get(config, "funcId"));
    } else if (strcmp(method, "fixed_field") == 0) {
        json_t *fields = opened(id, json_object_get(config, "fields"), "name", "valueCipher",
                                "value", err);
        out = fields != NULL ? json_pack("{s:o}", "fields", fields) : NULL;
    } else {
        json_t *users = opened(id, json_object_get(config, "users"), "username", "passwordCipher",
                               "password", err);
        out = users != NULL ? json_pack("{s:s, s:o}", "realm", realm, "users", users) : NULL;
    }
    if (out != NULL) {
        text = json_dumps(out, JSON_COMPACT);
        if (text == NULL) {
            api.host->fail(err, TN_E_NOMEM, "no memory for its configuration");
        }
    }
    json_decref(out);
    json_decref(config);
    return text;
}
