/* SPDX-License-Identifier: Apache-2.0 */
/* Options of one call: a white list with ranges. Unknown names are ignored, internal ones cannot be
 * reached from outside. */
#include "call.h"

#include <math.h>
#include <stdio.h>

enum option_type {
    OPT_INT,
    OPT_BOOL,
    OPT_ANY_BOOL,
    OPT_RETURN,
    OPT_TIME,
    OPT_EXEC_MODE,
    OPT_PRIORITY
};

/* One row per documented option; `to` is the member it fills. */
static const struct option {
    const char *name;
    enum option_type type;
    size_t to;
    int64_t min, max; /* OPT_INT */
} options[] = {
    {"queue", OPT_INT, offsetof(struct call_opts, queue), 1, 9},
    {"timeout", OPT_INT, offsetof(struct call_opts, timeout_s), 1, 3600},
    {"expires", OPT_INT, offsetof(struct call_opts, expires_s), 1, 86400},
    {"delay", OPT_INT, offsetof(struct call_opts, delay_s), 1, INT32_MAX},
    {"priority", OPT_PRIORITY, offsetof(struct call_opts, priority), -100, 100},
    {"eta", OPT_TIME, offsetof(struct call_opts, eta_us), 0, 0},
    {"returnType", OPT_RETURN, offsetof(struct call_opts, return_type), 0, 0},
    {"unbox", OPT_BOOL, offsetof(struct call_opts, unbox), 0, 0},
    {"unfold", OPT_BOOL, offsetof(struct call_opts, unbox), 0, 0},
    {"async", OPT_BOOL, offsetof(struct call_opts, async), 0, 0},
    {"saveResult", OPT_ANY_BOOL, offsetof(struct call_opts, save_result), 0, 0},
    {"execMode", OPT_EXEC_MODE, offsetof(struct call_opts, async), 0, 0},
};

static const struct {
    const char *name;
    enum call_return value;
} return_types[] = {
    {"raw", RETURN_RAW},
    {"jsonDumps", RETURN_DUMPS},
    {"repr", RETURN_REPR},
    {"ALL", RETURN_ALL},
};

#define N_OPTIONS (sizeof options / sizeof options[0])
#define N_RETURNS (sizeof return_types / sizeof return_types[0])

bool call_refuse_field(struct call_refusal *why, const char *name, tn_str value, const char *type)
{
    /* Compact as the original shows it; what is cut anyway is not worth a tree. */
    json_t *tree = value.n <= 4096 ? json_loadb(value.s, value.n, JSON_DECODE_ANY, NULL) : NULL;
    char *shown = tree != NULL ? json_dumps(tree, JSON_COMPACT | JSON_ENCODE_ANY) : text_dup(value);
    struct str text = {0};
    str_printf(&text, "Field `%s` value `%.200s` is not valid. (type = \"%s\")", name,
               shown != NULL ? shown : "", type);
    str_puts(&why->detail, "{\"message\":");
    add_quote(&why->detail, str_view(&text));
    str_puts(&why->detail, "}");
    str_free(&text);
    free(shown);
    json_decref(tree);
    return call_refuse(why, EClientBadRequest, NULL, "Invalid request body");
}

static bool bad_value(struct call_refusal *why, const char *option, tn_str value, const char *type)
{
    char name[40];
    snprintf(name, sizeof name, "options.%s", option);
    return call_refuse_field(why, name, value, type);
}

static bool take_int(const struct option *o, const tn_json_member *m, int64_t *ret,
                     struct call_refusal *why)
{
    char text[40];
    double d = NAN;
    if (m->kind == TN_JSON_NUMBER && m->value.n < sizeof text) {
        memcpy(text, m->value.s, m->value.n);
        text[m->value.n] = '\0';
        d = strtod(text, NULL);
    }
    bool whole = !isnan(d) && floor(d) == d;
    if (strcmp(o->name, "queue") == 0) {
        if (!whole || d < (double)o->min || d > (double)o->max) {
            return call_refuse(why, EClientBadRequest, NULL,
                               "Invalid options, queue should be an integer between 1 and 9");
        }
    } else if (!whole) {
        return bad_value(why, o->name, m->value, "integer");
    } else if (d < (double)o->min) {
        str_printf(&why->detail, "{\"min\":%lld}", (long long)o->min);
        return call_refuse(why, EClientBadRequest, NULL, "Invalid options, %s is too small",
                           o->name);
    } else if (d > (double)o->max) {
        str_printf(&why->detail, "{\"max\":%lld}", (long long)o->max);
        return call_refuse(why, EClientBadRequest, NULL, "Invalid options, %s is too large",
                           o->name);
    }
    *ret = (int64_t)d;
    return true;
}

/* A string without escapes, as all known values are. */
static tn_str plain_text(const tn_json_member *m)
{
    return m->kind == TN_JSON_STRING ? (tn_str){m->value.s + 1, m->value.n - 2} : (tn_str){NULL, 0};
}

static bool take_return(const tn_json_member *m, enum call_return *ret, struct call_refusal *why)
{
    tn_str text = plain_text(m);
    for (size_t i = 0; i < N_RETURNS; i++) {
        if (text.s != NULL && text_is(text, return_types[i].name)) {
            *ret = return_types[i].value;
            return true;
        }
    }
    str_puts(&why->detail, "{\"allowed\":[");
    for (size_t i = 0; i < N_RETURNS; i++) {
        str_printf(&why->detail, "%s\"%s\"", i > 0 ? "," : "", return_types[i].name);
    }
    str_puts(&why->detail, "]}");
    return call_refuse(why, EClientBadRequest, NULL, "Invalid options, invalid returnType");
}

static bool take(const struct option *o, const tn_json_member *m, struct call_opts *ret,
                 struct call_refusal *why)
{
    char *to = (char *)ret + o->to;
    tn_str text = plain_text(m);
    int64_t number = 0;
    switch (o->type) {
    case OPT_INT:
    case OPT_PRIORITY:
        if (!take_int(o, m, &number, why)) {
            return false;
        }
        if (o->type == OPT_INT) {
            *(uint32_t *)(void *)to = (uint32_t)number;
        } else {
            *(int32_t *)(void *)to = (int32_t)number;
            ret->has_priority = true;
        }
        return true;
    case OPT_RETURN:
        return take_return(m, (enum call_return *)(void *)to, why);
    case OPT_TIME:
        return text.s != NULL && iso_parse(text, (int64_t *)(void *)to)
                   ? true
                   : bad_value(why, o->name, m->value, "ISO8601");
    case OPT_EXEC_MODE:
        *(bool *)to |= text.s != NULL && text_is(text, "async");
        return true;
    case OPT_ANY_BOOL: /* deprecated: nothing else is an error */
        *(bool *)to = m->kind == TN_JSON_BOOL && m->value.s[0] == 't';
        return true;
    case OPT_BOOL:
        if (m->kind != TN_JSON_BOOL) {
            return bad_value(why, o->name, m->value, "boolean");
        }
        if (o->to == offsetof(struct call_opts, unbox)) {
            *(int *)(void *)to = m->value.s[0] == 't';
        } else {
            *(bool *)to |= m->value.s[0] == 't';
        }
        return true;
    }
    return true;
}

bool options_parse(tn_str raw, struct call_opts *ret, struct call_refusal *why)
{
    const tn_host_json *json = api.host->json;
    struct str text = {0};
    tn_json_member m[64];
    uint32_t kind = TN_JSON_NULL, n = 0;
    tn_err err = TN_ERR_INIT;
    bool ok = true;
    *ret = (struct call_opts){.unbox = -1};
    if (raw.s == NULL || raw.n == 0) {
        return true;
    }
    if (raw.s[0] == '"') { /* JSON text of an object */
        size_t need = json->unquote(raw, NULL, 0);
        char *to = str_room_for(&text, need);
        if (to == NULL) {
            return call_refuse(why, ESys, NULL, "Out of memory");
        }
        json->unquote(raw, to, need);
        raw = str_view(&text);
    }
    tn_rc rc = raw.n > 0 ? json->scan(raw, &kind, m, sizeof m / sizeof m[0], &n, &err) : TN_OK;
    if (rc != TN_OK || (kind != TN_JSON_OBJECT && kind != TN_JSON_NULL)) {
        str_puts(&why->detail, "{\"error\":");
        add_quote(&why->detail,
                  rc != TN_OK ? text_of(err.msg) : TN_STR("options should be an object"));
        str_puts(&why->detail, "}");
        ok = call_refuse(why, EClientBadRequest, NULL, "Invalid options, bad JSON format");
    }
    for (uint32_t i = 0; ok && i < n; i++) {
        for (size_t k = 0; ok && k < N_OPTIONS; k++) {
            if (m[i].kind != TN_JSON_NULL && text_is(m[i].key, options[k].name)) {
                ok = take(&options[k], &m[i], ret, why);
            }
        }
    }
    str_free(&text);
    return ok;
}
