/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a Flux query as the syntax tree that stands in front of it (extern): variables, never a part of its text. */
#include "common/json_put.h"
#include "influx.h"

#include <inttypes.h>
#include <math.h>

#define DEPTH_MAX 16

static int is_name(const tn_val *k)
{
    for (uint32_t i = 0; k->type == TN_T_STR && i < k->n; i++) {
        char c = k->u.s[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
              (i != 0 && c >= '0' && c <= '9'))) {
            return 0;
        }
    }
    return k->type == TN_T_STR && k->n != 0;
}

static tn_rc put_value(struct grow *to, const tn_val *v, int depth, tn_err *err);

static tn_rc put_items(struct grow *to, const tn_val *v, int depth, tn_err *err)
{
    tn_rc rc = depth < DEPTH_MAX
                   ? TN_OK
                   : ix_host->fail(err, TN_E_INVAL, "params are nested deeper than %d levels",
                                   DEPTH_MAX);
    grow_text(to, v->type == TN_T_LIST ? "{\"type\":\"ArrayExpression\",\"elements\":["
                                       : "{\"type\":\"ObjectExpression\",\"properties\":[");
    for (uint32_t i = 0; rc == TN_OK && i < v->n; i++) {
        grow_text(to, i != 0 ? "," : "");
        if (v->type == TN_T_LIST) {
            rc = put_value(to, &v->u.list[i], depth + 1, err);
            continue;
        }
        const tn_val *k = &v->u.map[i].key;
        if (!is_name(k)) {
            return ix_host->fail(
                err, TN_E_INVAL,
                "names of params are letters, digits and _, as those of variables");
        }
        grow_printf(to,
                    "{\"type\":\"Property\",\"key\":{\"type\":\"Identifier\",\"name\":\"%.*s\"},"
                    "\"value\":",
                    (int)k->n, k->u.s);
        rc = put_value(to, &v->u.map[i].val, depth + 1, err);
        grow_char(to, '}');
    }
    grow_text(to, "]}");
    return rc;
}

/* Numbers of 64 bits are texts there, for JSON has none. */
static tn_rc put_value(struct grow *to, const tn_val *v, int depth, tn_err *err)
{
    switch (v->type) {
    case TN_T_STR:
        grow_text(to, "{\"type\":\"StringLiteral\",\"value\":");
        json_put_text(to, v->u.s, v->n);
        break;
    case TN_T_BOOL:
        grow_printf(to, "{\"type\":\"BooleanLiteral\",\"value\":%s", v->u.i ? "true" : "false");
        break;
    case TN_T_INT:
        grow_printf(to, "{\"type\":\"IntegerLiteral\",\"value\":\"%" PRId64 "\"", v->u.i);
        break;
    case TN_T_FLOAT:
        if (!isfinite(v->u.f)) {
            return ix_host->fail(err, TN_E_INVAL, "%g cannot be a value of params", v->u.f);
        }
        grow_text(to, "{\"type\":\"FloatLiteral\",\"value\":");
        json_put_float(to, v->u.f);
        break;
    case TN_T_TIME:
        grow_text(to, "{\"type\":\"DateTimeLiteral\",\"value\":\"");
        json_put_time(to, v->u.i, 0);
        grow_char(to, '"');
        break;
    case TN_T_SPAN:
        grow_printf(to,
                    "{\"type\":\"DurationLiteral\",\"values\":[{\"magnitude\":%" PRId64
                    ",\"unit\":\"us\"}]",
                    v->u.i);
        break;
    case TN_T_LIST:
    case TN_T_MAP:
        return put_items(to, v, depth, err);
    default:
        return ix_host->fail(
            err, TN_E_INVAL,
            "a value of params is a text, a number, a bool, a datetime, a timedelta, a list or a dict");
    }
    grow_char(to, '}');
    return TN_OK;
}

static tn_rc put_option(struct grow *to, const char *name, size_t n, const tn_val *v, tn_err *err)
{
    grow_printf(to,
                "{\"type\":\"OptionStatement\",\"assignment\":{\"type\":\"VariableAssignment\","
                "\"id\":{\"type\":\"Identifier\",\"name\":\"%.*s\"},\"init\":",
                (int)n, name);
    tn_rc rc = put_value(to, v, 0, err);
    grow_text(to, "}}");
    return rc;
}

tn_rc ix_extern(struct grow *to, const tn_val *params, tn_err *err)
{
    if (params->type != TN_T_MAP) {
        return ix_host->fail(err, TN_E_INVAL, "params is a dict of values");
    }
    grow_text(to, ",\"extern\":{\"type\":\"File\",\"imports\":[],\"body\":[");
    tn_rc rc = put_option(to, "params", 6, params, err); /* which has looked at the names */
    for (uint32_t i = 0; rc == TN_OK && i < params->n; i++) {
        grow_char(to, ',');
        rc = put_option(to, params->u.map[i].key.u.s, params->u.map[i].key.n, &params->u.map[i].val,
                        err);
    }
    grow_text(to, "]}");
    return rc;
}
