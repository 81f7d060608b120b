/* SPDX-License-Identifier: Apache-2.0 */
/* API authentication by a fixed value in a header, a query field or a field of the body; any one of
 * the configured fields is enough. */
#include "fixed_field.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct fixed_conf {
    tn_secret fields;
};
struct fixed {
    struct field fields[FIELDS_MAX];
    tn_http_pair takes[FIELDS_MAX];
    uint32_t n;
    uint8_t key[crypto_auth_KEYBYTES];
    char *text; /* the names */
};

const tn_host *fixed_host;

static const tn_field rows[] = {
    {TN_FIELD(struct fixed_conf, fields), .flags = TN_F_REQUIRED,
     .doc = "JSON list of {\"location\": header, query or body, \"name\", \"value\"}; 64 at most."},
    {0},
};

static tn_rc fixed_load(const tn_host *host, tn_err *err)
{
    fixed_host = host;
    return sodium_init() >= 0 ? TN_OK : host->fail(err, TN_E_INTERNAL, "libsodium does not start");
}

static void tag_of(const struct fixed *f, tn_str value, uint8_t ret[crypto_auth_BYTES])
{
    crypto_auth(ret, (const unsigned char *)value.s, value.n, f->key);
}

static const tn_str text_of_place[] = {{"header", 6}, {"query", 5}, {"body", 4}};

static bool place_of(const char *location, enum place *ret)
{
    for (size_t i = 0; location != NULL && i < sizeof text_of_place / sizeof *text_of_place; i++) {
        if (strcmp(location, text_of_place[i].s) == 0) {
            *ret = (enum place)i;
            return true;
        }
    }
    return false;
}

/* Takes one row; `to` has room for its name. */
static tn_rc field_add(struct fixed *f, const json_t *row, char **to, tn_err *err)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    const json_t *value = json_object_get(row, "value");
    struct field *field = &f->fields[f->n];
    if (!place_of(json_string_value(json_object_get(row, "location")), &field->place) ||
        name == NULL || name[0] == '\0' || strlen(name) > PATH_BYTES ||
        json_string_length(value) > VALUE_MAX) {
        return fixed_host->fail(err, TN_E_CONFIG,
                                "field %u needs a location (header, query, body), a name of 1 to "
                                "%d bytes and a value of at most %d",
                                (unsigned)f->n + 1, PATH_BYTES, VALUE_MAX);
    }
    if (json_string_length(value) == 0) {
        return TN_OK; /* an empty value would let everybody in */
    }
    size_t n = strlen(name);
    field->name = (tn_str){*to, n};
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool lower = field->place == PLACE_HEADER && c >= 'A' && c <= 'Z';
        *(*to)++ = (char)(lower ? c + ('a' - 'A') : c);
    }
    tag_of(f, (tn_str){json_string_value(value), json_string_length(value)}, field->tag);
    f->takes[f->n] = (tn_http_pair){text_of_place[field->place], field->name};
    f->n++;
    return TN_OK;
}

static tn_rc fixed_attach(void *inst, const void *conf, tn_err *err)
{
    struct fixed *f = inst;
    const struct fixed_conf *c = conf;
    json_error_t why;
    json_t *list = json_loads(c->fields.s != NULL ? c->fields.s : "", 0, &why);
    tn_rc rc = TN_OK;
    if (!json_is_array(list) || json_array_size(list) > FIELDS_MAX) {
        json_decref(list);
        return fixed_host->fail(err, TN_E_CONFIG, "fields must be a JSON list of at most %d",
                                FIELDS_MAX);
    }
    randombytes_buf(f->key, sizeof f->key);
    f->text = malloc(json_array_size(list) * PATH_BYTES + 1);
    char *to = f->text;
    if (to == NULL) {
        rc = fixed_host->fail(err, TN_E_NOMEM, "no memory for the fields");
    }
    for (size_t i = 0; rc == TN_OK && i < json_array_size(list); i++) {
        rc = field_add(f, json_array_get(list, i), &to, err);
    }
    json_decref(list);
    if (rc != TN_OK) {
        free(f->text);
        f->text = NULL;
    }
    return rc;
}

static void fixed_detach(void *inst)
{
    struct fixed *f = inst;
    free(f->text);
    sodium_memzero(f, sizeof *f);
}

static tn_rc fixed_check(void *inst, const tn_http_req *req, tn_ident *ret, tn_err *err)
{
    const struct fixed *f = inst;
    bool any = false, right = false;
    for (uint32_t i = 0; i < f->n; i++) { /* all of them: the time says nothing about which */
        uint8_t tag[crypto_auth_BYTES];
        tn_str value;
        enum found found = field_find(req, &f->fields[i], &value);
        any |= found != FOUND_NOT;
        if (found == FOUND_ONE) {
            tag_of(f, value, tag);
            bool equal = sodium_memcmp(tag, f->fields[i].tag, sizeof tag) == 0;
            right |= equal;
        }
    }
    ret->subject[0] = '\0';
    ret->expires_ns = 0;
    return right ? TN_OK
                 : fixed_host->fail(err, any ? TN_E_DENIED : TN_E_NOTFOUND,
                                    "Fixed Field Auth failed");
}

/* RFC 9110 knows no scheme for this. */
static size_t fixed_challenge(void *inst, const tn_http_req *req, char *ret, size_t cap)
{
    (void)inst, (void)req, (void)ret, (void)cap;
    return 0;
}

static uint32_t fixed_takes(void *inst, const tn_http_pair **ret)
{
    const struct fixed *f = inst;
    *ret = f->takes;
    return f->n;
}

static const tn_auth_ops ops = {
    .size = sizeof ops,
    .check = fixed_check,
    .challenge = fixed_challenge,
    .takes = fixed_takes,
};

TN_PLUGIN(.kind = TN_KIND_AUTH, .name = "fixed_field", .version = "0.1.0",
          .summary = "A fixed value in a header, the query or the body", .config = rows,
          .conf_size = sizeof(struct fixed_conf), .inst_size = sizeof(struct fixed),
          .load = fixed_load, .attach = fixed_attach, .detach = fixed_detach, .ops = &ops)
