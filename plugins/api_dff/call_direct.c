/* SPDX-License-Identifier: Apache-2.0 */
/* Calls by function id for those who signed in: direct and the debugger's drafts
 * (spec 2.1, 2.9, 2.10). The session is checked on a helper thread; the call itself lives on the loop. */
#include "call_run.h"
#include "debug_live.h"
#include "store.h"

static const struct call_kind direct_kind = {
    .origin = {"direct", 6},
    .queue = 1,
    .timeout_s = 35,
    .expires_s = 900,
    .unbox = false,
};
static const struct call_kind draft_kind = {
    .origin = {"direct", 6},
    .queue = 5,
    .timeout_s = 60,
    .expires_s = 3600,
    .unbox = false,
};

static void refuse_func(struct call_refusal *why, const char *message, tn_str func_id)
{
    str_puts(&why->detail, "{\"funcId\":");
    add_quote(&why->detail, func_id);
    str_puts(&why->detail, "}");
    call_refuse(why, EClientNotFound, NULL, "%s", message);
}

/* ---- direct ------------------------------------------------------------------------------------------------ */
static bool direct_prepare(struct api_req *r, struct call_input *in, struct call_opts *opts,
                           const struct snap_func **ret, struct call_refusal *why)
{
    *ret = snapshot_func(calls_snapshot(), api_param(r, 0));
    if (!kwargs_read(r->http, FORM_NORMAL, in, why) || !options_parse(in->options, opts, why)) {
        return false;
    }
    if (*ret == NULL) {
        refuse_func(why, "No such Func", api_param(r, 0));
        return false;
    }
    return true;
}

static void direct_on_loop(void *user)
{
    struct api_req *r = user;
    struct call_refusal why = {0};
    struct call_input in;
    struct call_opts opts;
    const struct snap_func *func;
    struct call *c = call_new(r->http, r);
    if (c == NULL) {
        return;
    }
    if (direct_prepare(r, &in, &opts, &func, &why)) {
        struct call_target target = {
            .kind = &direct_kind, .func = func, .origin_id = TN_STR("direct"), .record_limit = -1};
        (opts.async ? call_start_task : call_start_func)(c, &target, &in, in.kwargs, &opts);
    } else {
        respond_refusal(c, &why);
    }
    call_refusal_finish(&why);
}

static void direct_run(struct api_req *r)
{
    api.host->loop->post(api.host->ctx, direct_on_loop, r);
}

/* ---- drafts --------------------------------------------------------------------------------------------------- */
/* The draft that a debugger run executes; freed with the request (api_req.state). */
struct draft {
    struct snap_func func;
    char *code;
    size_t code_len;
    char text[]; /* script id, function name */
};

static void draft_on_loop(void *user)
{
    struct api_req *r = user;
    struct draft *d = r->state;
    struct call_refusal why = {0};
    struct call_input in;
    struct call_opts opts;
    struct call *c = call_new(r->http, r);
    if (c == NULL) {
        return;
    }
    c->draft = true;
    if (kwargs_read(r->http, FORM_NORMAL, &in, &why) && options_parse(in.options, &opts, &why)) {
        struct call_target target = {.kind = &draft_kind,
                                     .func = &d->func,
                                     .origin_id = api_param(r, 0),
                                     .record_limit = -1,
                                     .code = {d->code, d->code_len}};
        call_start_func(c, &target, &in, in.kwargs, &opts);
    } else {
        respond_refusal(c, &why);
    }
    call_refusal_finish(&why);
}

/* "set__script.func" or "set__script"; the draft is read from the store. */
static void draft_run(struct api_req *r)
{
    static const char *const extra[] = {"codeDraft"};
    tn_str id = api_param(r, 0);
    const char *dot = memchr(id.s, '.', id.n);
    tn_str script = {id.s, dot != NULL ? (size_t)(dot - id.s) : id.n};
    tn_str name = dot != NULL ? (tn_str){dot + 1, id.n - script.n - 1} : TN_STR("");
    tn_err err = TN_ERR_INIT;
    json_t *row = store_one(NULL, "script", "id", script, extra, 1, &err);
    if (row == NULL) {
        if (err.rc == TN_E_NOTFOUND) {
            api_fail(r, EClientNotFound, NULL, json_pack("{s:s%}", "id", script.s, script.n),
                     "No such Script");
        } else {
            api_fail_err(r, &err);
        }
        return;
    }
    const json_t *code = json_object_get(row, "codeDraft");
    tn_str text = json_is_string(code) ? (tn_str){json_string_value(code), json_string_length(code)}
                                       : TN_STR("");
    struct draft *d = calloc(1, sizeof *d + id.n + text.n + 2);
    if (d == NULL) {
        json_decref(row);
        api_fail(r, ESysLimitReached, NULL, NULL, "Out of memory");
        return;
    }
    memcpy(d->text, id.s, id.n);
    d->code = d->text + id.n + 1;
    memcpy(d->code, text.s, text.n);
    d->code_len = text.n;
    d->func.id = (tn_str){d->text, id.n};
    d->func.script = (tn_str){d->text, script.n};
    d->func.name = (tn_str){name.n > 0 ? d->text + script.n + 1 : "", name.n};
    json_decref(row);
    r->state = d;
    api.host->loop->post(api.host->ctx, draft_on_loop, r);
}

static void draft_events_on_loop(void *user)
{
    struct api_req *r = user;
    struct call *c = call_new(r->http, r);
    if (c != NULL) {
        debug_live_follow(c, api_param(r, 0));
    }
}

static void draft_events(struct api_req *r)
{
    api.host->loop->post(api.host->ctx, draft_events_on_loop, r);
}

/* Seconds with three decimals, as task times are written. */
static void write_seconds(struct str *out, const char *key, int64_t us)
{
    if (us == 0) {
        str_printf(out, "\"%s\":null,", key);
    } else {
        str_printf(out, "\"%s\":%lld.%03d,", key, (long long)(us / 1000000),
                   (int)(us / 1000 % 1000));
    }
}

/* A run that ended without a report of its own: killed, or its worker died. */
static void write_unreported(struct str *out, const tn_call_result *r)
{
    uint32_t kind, n = 0;
    tn_json_member m[8];
    const char *status = r->status == TN_CALL_TIMEOUT ? "timeout" : "failure";
    tn_str exception = TN_STR("null"), type = TN_STR("null"), traceback = TN_STR("null");
    if (r->error.n > 0 && api.host->json->scan(r->error, &kind, m, 8, &n, NULL) != TN_OK) {
        n = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (text_is(m[i].key, "exception")) {
            exception = m[i].value;
        } else if (text_is(m[i].key, "exceptionType")) {
            type = m[i].value;
        } else if (text_is(m[i].key, "traceback")) {
            traceback = m[i].value;
        }
    }
    str_puts(out, "{\"returnValue\":null,\"responseControl\":{},\"apiFuncs\":[],\"printLogs\":[");
    const char *p = r->logs.s, *end = p != NULL ? p + r->logs.n : NULL;
    for (bool first = true; p != NULL && p < end; first = false) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((eol != NULL ? eol : end) - p);
        str_puts(out, first ? "" : ",");
        add_quote(out, (tn_str){p, len});
        p += len + 1;
    }
    str_printf(out, "],\"status\":\"%s\",\"exception\":", status);
    add(out, exception);
    add_lit(out, ",\"exceptionType\":");
    add(out, type);
    add_lit(out, ",\"traceback\":");
    add(out, traceback);
    str_printf(out, ",\"cost\":%u.%06u,\"peakMemroyUsage\":%llu}", (unsigned)(r->cost_us / 1000000),
               (unsigned)(r->cost_us % 1000000), (unsigned long long)r->peak_bytes);
}

void call_debug_report(const tn_call_result *r, struct str *out)
{
    add_lit(out, "{\"name\":\"Func.Debugger\",\"id\":");
    add_quote(out, r->task_id);
    add_lit(out, ",");
    write_seconds(out, "triggerTime", r->trigger_us);
    write_seconds(out, "startTime", r->start_us);
    write_seconds(out, "endTime", r->end_us);
    add_lit(out, "\"result\":");
    if (r->status == TN_CALL_SUCCESS && r->value_kind == TN_VALUE_JSON) {
        add(out, r->value);
    } else {
        write_unreported(out, r);
    }
    add_lit(
        out,
        ",\"status\":\"success\",\"exception\":null,\"exceptionType\":null,\"traceback\":null}");
}

const struct api_route call_api_routes[] = {
    {.method = "POST",
     .path = "/api/v1/func/:funcId",
     .permission = "general_r",
     .run = direct_run,
     .doc =
         "Calls a function by its id and waits for its result, or with options.async for nothing."},
    {.method = "POST",
     .path = "/api/v1/func-many",
     .permission = "general_r",
     .run = func_many_run,
     .doc = "Starts several functions without waiting for them."},
    {.method = "POST",
     .path = "/api/v1/func-draft/:funcId",
     .permission = "general_r",
     .run = draft_run,
     .doc =
         "Runs the draft of a script in the debugger. With Accept: text/event-stream what it prints "
         "is sent as it comes."},
    {.method = "GET",
     .path = "/api/v1/func-draft-runs/:id/events",
     .permission = "general_r",
     .run = draft_events,
     .doc = "Events of a debugger run, from Last-Event-ID on."},
    {.method = NULL},
};
