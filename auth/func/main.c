/* SPDX-License-Identifier: Apache-2.0 */
/* API authentication by a function of the platform: what it returns decides. */
#include <string.h>
#include <tenon/tenon.h>

struct func_conf {
    const char *func;
};
struct func {
    const struct func_conf *conf;
};

static const tn_host *host;

static const tn_field rows[] = {
    {TN_FIELD(struct func_conf, func), .flags = TN_F_REQUIRED, .min = 1, .max = 256,
     .doc = "Id of the function that is asked (\"set__script.name\"); it receives the keyword "
            "argument req."},
    {0},
};

static tn_rc func_load(const tn_host *h, tn_err *err)
{
    (void)err;
    host = h;
    return TN_OK;
}

static tn_rc func_attach(void *inst, const void *conf, tn_err *err)
{
    (void)err;
    ((struct func *)inst)->conf = conf;
    return TN_OK;
}

static tn_rc refuse(tn_err *err, tn_rc rc)
{
    return host->fail(err, rc, "Func Auth failed");
}

/* Only the function can tell. */
static tn_rc func_check(void *inst, const tn_http_req *req, tn_ident *ret, tn_err *err)
{
    (void)inst, (void)req, (void)ret;
    return refuse(err, TN_E_NOTFOUND);
}

static size_t func_challenge(void *inst, const tn_http_req *req, char *ret, size_t cap)
{
    (void)inst, (void)req, (void)ret, (void)cap;
    return 0;
}

static tn_str func_func(void *inst)
{
    const char *id = ((const struct func *)inst)->conf->func;
    tn_str s = {id, strlen(id)};
    return s;
}

/* Zero in any of its spellings: 0, -0, 0.0, 0e5. */
static bool is_zero(tn_str number)
{
    for (size_t i = 0; i < number.n; i++) {
        char c = number.s[i];
        if (c == 'e' || c == 'E') {
            break;
        }
        if (c >= '1' && c <= '9') {
            return false;
        }
    }
    return true;
}

/* What Python calls true, from the JSON of the value. NaN has no JSON and counts as nothing. */
static bool truthy(const tn_call_result *r)
{
    switch (r->value_kind) {
    case TN_VALUE_TEXT:
        return r->value_fd >= 0 ? r->value_len > 0 : r->value.n > 0;
    case TN_VALUE_NUMBER:
        return r->value.n > 0 && !is_zero(r->value);
    case TN_VALUE_BOOL:
        return r->value.n == 4 && memcmp(r->value.s, "true", 4) == 0;
    case TN_VALUE_JSON:
        if (r->value_fd >= 0) {
            return r->value_len > 0; /* only large values come this way */
        }
        for (size_t i = 1; i < r->value.n; i++) { /* anything between the outer brackets? */
            char c = r->value.s[i];
            if (c == ']' || c == '}') {
                return false;
            }
            if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
                return true;
            }
        }
        return false;
    default:
        return false;
    }
}

static tn_rc func_judge(void *inst, const tn_call_result *result, tn_ident *ret, tn_err *err)
{
    (void)inst;
    ret->subject[0] = '\0';
    ret->expires_ns = 0;
    switch (result->status) {
    case TN_CALL_SUCCESS:
        return truthy(result) ? TN_OK : refuse(err, TN_E_DENIED);
    case TN_CALL_FAILURE:
        return refuse(err, TN_E_DENIED);
    default: /* it gave no answer; that is nobody's failed attempt */
        return refuse(err, TN_E_NOTFOUND);
    }
}

static const tn_auth_ops ops = {
    .size = sizeof ops,
    .check = func_check,
    .challenge = func_challenge,
    .func = func_func,
    .judge = func_judge,
};

TN_PLUGIN(.kind = TN_KIND_AUTH, .name = "func", .version = "0.1.0",
          .summary = "A function of the platform decides", .config = rows,
          .conf_size = sizeof(struct func_conf), .inst_size = sizeof(struct func),
          .load = func_load, .attach = func_attach, .ops = &ops)
