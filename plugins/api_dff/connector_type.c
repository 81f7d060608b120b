/* SPDX-License-Identifier: Apache-2.0 */
/* Types of connectors: what the plugins of this installation say about their settings, and what the
 * original's clients rely on. A type is a plugin: nothing here has to know it. */
#include "connector.h"
#include "mask.h"

#include <string.h>

/* What add() must be given for types of the original, and the settings that it names (spec 1.6, 4). Types that are not here
 * need what their plugin's table requires. */
#define SQL_FIELDS "host", "database", "user", "password", "charset"
static const struct {
    const char *name;
    const char *required[6];
    const char *optional[10];
} originals[] = {
    {"mysql", {SQL_FIELDS}, {"port"}},
    {"postgresql", {SQL_FIELDS}, {"port"}},
    {"sqlserver", {SQL_FIELDS}, {"port"}},
    {"oracle", {SQL_FIELDS}, {"port"}},
    {"clickhouse", {"host"}, {"port", "user", "password", "database"}},
    {"influxdb", {"host"}, {"port", "protocol", "database", "user", "password"}},
    {"redis", {"host"}, {"port", "database", "user", "password", "authType", "topicHandlers"}},
    {"memcached", {"servers"}, {NULL}},
    {"mongodb", {"host"}, {"port", "user", "password", "database"}},
    {"elasticsearch", {"host"}, {"port", "protocol", "user", "password"}},
    {"nsq", {NULL}, {"host", "port", "protocol", "servers"}},
    {"mqtt", {"host"}, {"port", "user", "password", "clientId", "multiSubClient", "topicHandlers"}},
    {"kafka",
     {"servers"},
     {"user", "password", "groupId", "securityProtocol", "saslMechanisms", "multiSubClient",
      "kafkaSubOffset", "topicHandlers"}},
    {"guance",
     {"guanceNode", "guanceAPIKeyId", "guanceAPIKey"},
     {"guanceOpenAPIURL", "guanceWebSocketURL", "guanceOpenWayURL"}},
    {"df_datakit", {"host"}, {"port", "protocol", "source"}},
    {"df_dataway", {"host"}, {"port", "protocol", "token", "accessKey", "secretKey"}},
    {"dff_sidecar", {"secretKey"}, {"host", "port", "protocol"}},
};

/* Secrets of types that may have no plugin here: they stay sealed and hidden all the same. */
static const char *const always_secret[] = {
    "password", "secret_key", "guance_api_key", "tls_key", "auth_secret", "proxy_password", NULL};

static json_t
    *types; /* name -> {requiredFields, optionalFields}; written once, before there are requests */
static json_t *secrets; /* setting -> true; likewise */
static struct str choices;

bool connector_type_known(const char *type)
{
    return json_object_get(types, type) != NULL;
}

const char *connector_type_choices(void)
{
    return str_view(&choices).s;
}

const json_t *connector_type_fields(const char *type)
{
    return json_object_get(types, type);
}

bool connector_is_secret(const char *key)
{
    char name[64];
    return strlen(key) < sizeof name &&
           json_object_get(secrets, text_snake(text_of(key), name, sizeof name)) != NULL;
}

json_t *connector_member(const json_t *config, const char *key)
{
    json_t *v = json_object_get(config, key), *other;
    const char *name;
    char wanted[64], found[64];
    text_snake(text_of(key), wanted, sizeof wanted);
    json_object_foreach((json_t *)config, name, other)
    {
        if (v == NULL && strlen(name) < sizeof found &&
            strcmp(text_snake(text_of(name), found, sizeof found), wanted) == 0) {
            v = other;
        }
    }
    return v;
}

/* ---- gathering ------------------------------------------------------------------------------------ */
static bool is_listed(const json_t *names, const char *name)
{
    char a[64], b[64];
    const json_t *one;
    size_t i;
    text_snake(text_of(name), a, sizeof a);
    json_array_foreach(names, i, one)
    {
        if (strcmp(a, text_snake(text_of(json_string_value(one)), b, sizeof b)) == 0) {
            return true;
        }
    }
    return false;
}

static json_t *names_of(const char *const *names, size_t cap)
{
    json_t *out = json_array();
    for (size_t i = 0; i < cap && names[i] != NULL; i++) {
        json_array_append_new(out, json_string(names[i]));
    }
    return out;
}

/* What a plugin's own table adds to a type: settings, and which of them are secrets. */
static void take_schema(json_t *fields, const json_t *schema, bool is_new)
{
    json_t *must = json_object_get(fields, "requiredFields"),
           *may = json_object_get(fields, "optionalFields"), *one;
    const char *name;
    json_object_foreach(json_object_get(schema, "properties"), name, one)
    {
        bool required = is_new && is_listed(json_object_get(schema, "required"), name);
        if (!is_listed(must, name) && !is_listed(may, name)) {
            json_array_append_new(required ? must : may, json_string(name));
        }
        if (json_is_true(json_object_get(one, "writeOnly"))) {
            json_object_set_new(secrets, name, json_true());
        }
    }
}

static tn_rc take_plugins(tn_err *err)
{
    tn_text text;
    tn_rc rc = api.host->plugins(api.host->ctx, TN_KIND_CONNECTOR, &text, err);
    if (rc != TN_OK) {
        return rc;
    }
    json_t *all = json_loadb(text.s, text.n, 0, NULL), *one;
    size_t i;
    api.host->free(api.host->ctx, text.s);
    json_array_foreach(all, i, one)
    {
        const char *name = row_text(one, "name");
        bool is_new = !connector_type_known(name);
        if (is_new) {
            json_object_set_new(types, name,
                                json_pack("{s:[], s:[]}", "requiredFields", "optionalFields"));
        }
        take_schema(json_object_get(types, name), json_object_get(one, "config"), is_new);
    }
    rc = all != NULL ? TN_OK : api.host->fail(err, TN_E_NOMEM, "no memory for types of connectors");
    json_decref(all);
    return rc;
}

tn_rc connector_types_start(tn_err *err)
{
    types = json_object();
    secrets = json_object();
    for (size_t i = 0; i < sizeof originals / sizeof *originals; i++) {
        json_object_set_new(types, originals[i].name,
                            json_pack("{s:o, s:o}", "requiredFields",
                                      names_of(originals[i].required, 6), "optionalFields",
                                      names_of(originals[i].optional, 10)));
    }
    for (size_t i = 0; always_secret[i] != NULL; i++) {
        json_object_set_new(secrets, always_secret[i], json_true());
    }
    tn_rc rc = take_plugins(err);
    const char *name;
    json_t *one;
    json_object_foreach(types, name, one)
    {
        str_puts(&choices, choices.n != 0 ? "|" : "");
        str_puts(&choices, name);
    }
    json_object_foreach(secrets, name, one)
    {
        rc = rc == TN_OK ? mask_more(name, err) : rc;
    }
    return rc == TN_OK && choices.failed
               ? api.host->fail(err, TN_E_NOMEM, "no memory for types of connectors")
               : rc;
}
