/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets in configurations of connectors: sealed under a name of their own in the store, open only on the way to a worker,
 * shown to nobody. */
#include "connector.h"
#include "secret.h"

#include <string.h>

#define SEALED "Cipher" /* what the name of a sealed member ends with */

/* The member that `key` is the sealed form of; false: it is none. */
static bool is_sealed(const char *key, char *ret_plain, size_t cap)
{
    size_t n = strlen(key), tail = sizeof SEALED - 1;
    if (n <= tail || strcmp(key + n - tail, SEALED) != 0 || n - tail >= cap) {
        return false;
    }
    memcpy(ret_plain, key, n - tail);
    ret_plain[n - tail] = '\0';
    return true;
}

static json_t *crypt_text(const char *id, const char *name, const char *value, bool seal,
                          tn_err *err)
{
    struct str aad = {0};
    str_printf(&aad, "biz_main_connector|configJSON.%s|%s", name, id);
    json_t *text = secret_crypt(str_view(&aad).s, value, seal, err);
    str_free(&aad);
    return text;
}

static tn_rc seal_one(const char *id, json_t *config, const char *key, const json_t *v, tn_err *err)
{
    const char *text = json_string_value(v);
    if (text == NULL && !json_is_null(v)) {
        return api.host->fail(err, TN_E_INVAL, "%s of connector %s must be text", key, id);
    }
    if (text != NULL && strlen(text) != json_string_length(v)) {
        return api.host->fail(err, TN_E_INVAL, "%s of connector %s has a NUL character", key, id);
    }
    if (text == NULL || text[0] == '\0') {
        return TN_OK;
    }
    json_t *sealed = crypt_text(id, key, text, true, err);
    struct str name = {0};
    str_puts(&name, key);
    str_puts(&name, SEALED);
    tn_rc rc = sealed == NULL ? err->rc : TN_OK;
    if (rc == TN_OK && json_object_set_new(config, str_view(&name).s, sealed) != 0) {
        rc = api.host->fail(err, TN_E_NOMEM, "no memory for %s of connector %s", key, id);
    }
    str_free(&name);
    return rc;
}

/* Was it sealed before? The plugin that calls it a secret may be gone. */
static bool was_sealed(const json_t *stored, const char *key)
{
    struct str name = {0};
    str_puts(&name, key);
    str_puts(&name, SEALED);
    bool was = json_object_get(stored, str_view(&name).s) != NULL;
    str_free(&name);
    return was;
}

/* What is no secret is shown to everybody, and a uri may have a password in it: refused also when nobody tries it out. */
static tn_rc judge_open(const char *id, const char *key, const json_t *v, tn_err *err)
{
    const char *text = json_string_value(v);
    return text != NULL && strcmp(key, "uri") == 0 && strchr(text, '@') != NULL
               ? api.host->fail(err, TN_E_INVAL,
                                "uri of connector %s has a user or password in it, which would not "
                                "be kept secret; write them into user and password",
                                id)
               : TN_OK;
}

json_t *connector_seal(const char *id, json_t *config_take, const json_t *stored, tn_err *err)
{
    json_t *out = json_object(), *v;
    const char *key;
    char plain[256];
    tn_rc rc = out != NULL ? TN_OK : api.host->fail(err, TN_E_NOMEM, "no memory");
    json_object_foreach(config_take, key, v)
    {
        if (rc == TN_OK && (connector_is_secret(key) || was_sealed(stored, key))) {
            rc = seal_one(id, out, key, v, err);
        } else if (rc == TN_OK && !is_sealed(key, plain, sizeof plain)) { /* only we write those */
            rc = judge_open(id, key, v, err);
            json_object_set(out, key, v);
        }
    }
    json_decref(config_take);
    if (rc != TN_OK) {
        json_decref(out);
        return NULL;
    }
    return out;
}

json_t *connector_config(const json_t *row, tn_err *err)
{
    json_t *out = json_object(), *v;
    const char *key;
    char plain[256];
    json_object_foreach(json_object_get(row, "configJSON"), key, v)
    {
        const char *text = json_string_value(v);
        if (text == NULL || !is_sealed(key, plain, sizeof plain)) {
            json_object_set(out, key, v);
            continue;
        }
        json_t *opened = crypt_text(row_text(row, "id"), plain, text, false, err);
        if (opened == NULL) {
            json_decref(out);
            return NULL;
        }
        json_object_set_new(out, plain, opened);
    }
    return out;
}

json_t *connector_merge(const json_t *row, const json_t *given, tn_err *err)
{
    json_t *was = connector_config(row, err), *config = json_deep_copy(given), *v;
    const char *key;
    char plain[256];
    if (was == NULL) {
        json_decref(config);
        return NULL;
    }
    json_object_foreach(json_object_get(row, "configJSON"), key, v)
    {
        if (is_sealed(key, plain, sizeof plain) && connector_member(given, plain) == NULL) {
            json_object_set(config, plain, json_object_get(was, plain));
        }
    }
    json_decref(was);
    return config;
}

void connector_strip(json_t *config)
{
    char plain[256];
    const char *key;
    json_t *v;
    void *next;
    json_object_foreach_safe(config, next, key, v)
    {
        if (connector_is_secret(key) || is_sealed(key, plain, sizeof plain)) {
            json_object_del(config, key);
        }
    }
}
