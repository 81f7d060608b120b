/* SPDX-License-Identifier: Apache-2.0 */
/* Managed routes of one task that live on the loop thread. The request stays until its answer, whatever
 * the client does, so that nothing here outlives it. */
#include "task_live.h"
#include "call_run.h"
#include "task_batch.h"
#include "task_events.h"
#include "task_result.h"
#include "task_wait.h"

#define CTX            api.host->ctx
#define TASKS          api.host->tasks
#define WAIT_DEFAULT_S 30
#define GRACE_S        5

static struct call *call_of(struct api_req *r)
{
    return call_new(r->http, r);
}

static void refuse_and_finish(struct call *c, struct call_refusal *why)
{
    respond_refusal(c, why);
    call_refusal_finish(why);
}

static void no_such_task(struct call *c, tn_str id)
{
    struct call_refusal why = {0};
    task_unknown(&why, id);
    refuse_and_finish(c, &why);
}

/* ---- waiting and results -------------------------------------------------------------------------- */
static void show_whole(struct call *c, tn_str json)
{
    if (json.s != NULL) {
        respond_data(c, json, NULL, NULL);
    } else {
        no_such_task(c, api_param(c->managed, 0));
    }
}

/* The id and how it is shown; v is finished. */
static void with_view(struct call *c, tn_str id, tn_str json,
                      void (*show)(struct call *c, const struct task_view *v))
{
    struct task_view v = {.n = 0};
    if (json.s == NULL) {
        no_such_task(c, id);
    } else if (task_view(json, &v)) {
        show(c, &v);
    } else {
        struct call_refusal why = {0};
        call_refuse(&why, ESys, NULL, "The stored task cannot be read");
        refuse_and_finish(c, &why);
    }
    task_view_finish(&v);
}

static void show_result(struct call *c, tn_str json)
{
    with_view(c, api_param(c->managed, 0), json, task_respond_result);
}

static void wait_on_loop(struct api_req *r, const char *field, uint32_t dflt_s,
                         void (*done)(struct call *c, tn_str json))
{
    struct call_refusal why = {0};
    struct call *c = call_of(r);
    uint32_t ms;
    if (c == NULL) {
        return;
    }
    const json_t *unbox = json_object_get(r->query, "unbox");
    c->unbox = !json_is_false(unbox);
    if (task_wait_seconds(r->http, field, dflt_s, &ms, &why)) {
        task_wait(c, api_param(r, 0), ms, done);
    } else {
        respond_refusal(c, &why);
    }
    call_refusal_finish(&why);
}

static void wait_go(void *user)
{
    wait_on_loop(user, "timeout", WAIT_DEFAULT_S, show_whole);
}

static void result_go(void *user)
{
    wait_on_loop(user, "wait", 0, show_result);
}

/* ---- 1.x -------------------------------------------------------------------------------------------- */
static const json_t *legacy_field(const struct call *c, const char *name)
{
    return json_object_get(c->managed->query, name);
}

static tn_str legacy_id(const struct call *c)
{
    return text_of(json_string_value(legacy_field(c, "taskId")));
}

static void show_legacy_view(struct call *c, const struct task_view *v)
{
    struct str data = {0}, value = {0};
    if (json_is_true(legacy_field(c, "unfold")) || json_is_true(legacy_field(c, "unbox"))) {
        task_respond_result(c, v);
        return;
    }
    if (v->ended && v->result.status == TN_CALL_SUCCESS) {
        respond_value_json(&value, &v->result, c->return_type);
    } else {
        add_lit(&value, "null");
    }
    task_write_legacy(v, &data, str_view(&value));
    respond_data(c, str_view(&data), NULL, NULL);
    str_free(&value);
    str_free(&data);
}

static void show_legacy(struct call *c, tn_str json)
{
    with_view(c, legacy_id(c), json, show_legacy_view);
}

static void legacy_go(void *user)
{
    static const struct {
        const char *name;
        enum call_return type;
    } types[] = {{"jsonDumps", RETURN_DUMPS},
                 {"repr", RETURN_REPR},
                 {"ALL", RETURN_ALL},
                 {"raw", RETURN_RAW}};
    struct api_req *r = user;
    struct call *c = call_of(r);
    if (c == NULL) {
        return;
    }
    tn_str given = text_of(json_string_value(legacy_field(c, "returnType")));
    for (size_t i = 0; given.s != NULL && i < sizeof types / sizeof *types; i++) {
        if (text_is(given, types[i].name)) {
            c->return_type = types[i].type;
        }
    }
    task_wait(c, legacy_id(c), 0, show_legacy);
}

/* ---- events ----------------------------------------------------------------------------------------- */
static void events_go(void *user)
{
    struct api_req *r = user;
    struct call *c = call_of(r);
    if (c != NULL) {
        task_events(c, api_param(r, 0));
    }
}

/* ---- why, cancel ------------------------------------------------------------------------------------- */
static void why_done(void *user, tn_str json)
{
    struct call *c = user;
    tn_json_member m[16];
    uint32_t kind, n = 0;
    bool known = json.s != NULL &&
                 api.host->json->scan(json, &kind, m, sizeof m / sizeof *m, &n, NULL) == TN_OK;
    for (uint32_t i = 0; i < n; i++) {
        known &= !(text_is(m[i].key, "rule") && text_is(m[i].value, "\"unknown\""));
    }
    show_whole(c, known ? json : (tn_str){NULL, 0});
}

static void cancel_done(void *user, tn_rc rc, const tn_err *err)
{
    struct call *c = user;
    struct call_refusal why = {0};
    struct str data = {0};
    if (rc == TN_OK) {
        add_lit(&data, "{\"id\":");
        add_quote(&data, api_param(c->managed, 0));
        add_lit(&data, "}");
        respond_data(c, str_view(&data), NULL, NULL);
        str_free(&data);
        return;
    }
    if (rc == TN_E_NOTFOUND) {
        task_unknown(&why, api_param(c->managed, 0));
    } else if (rc == TN_E_CONFLICT) {
        call_refuse(&why, EBizCondition, "TaskEnded", "The task has ended already");
    } else {
        task_refuse(&why, rc, err);
    }
    refuse_and_finish(c, &why);
}

/* Starts one of the two; what it refuses at once is answered. */
static void ask(struct api_req *r, bool cancel)
{
    struct call_refusal why = {0};
    tn_err err = TN_ERR_INIT;
    tn_str id = api_param(r, 0);
    struct call *c = call_of(r);
    if (c == NULL) {
        return;
    }
    if (TASKS == NULL) {
        call_refuse(&why, ENotImplemented, NULL, "This platform keeps no durable tasks");
        refuse_and_finish(c, &why);
        return;
    }
    const json_t *grace = json_object_get(r->body, "graceSeconds");
    uint32_t ms = (json_is_integer(grace) ? (uint32_t)json_integer_value(grace) : GRACE_S) * 1000;
    tn_rc rc = id.n == 0 || id.n > TASK_ID_MAX ? TN_E_NOTFOUND
               : cancel                        ? TASKS->cancel(CTX, id, ms, cancel_done, c, &err)
                                               : TASKS->why(CTX, id, why_done, c, &err);
    if (rc != TN_OK) {
        cancel_done(c, rc, &err);
    }
}

static void why_go(void *user)
{
    ask(user, false);
}

static void cancel_go(void *user)
{
    ask(user, true);
}

#define TO_LOOP(name, go)                                                                          \
    void name(struct api_req *r)                                                                   \
    {                                                                                              \
        api.host->loop->post(CTX, go, r);                                                          \
    }
TO_LOOP(task_wait_run, wait_go)
TO_LOOP(task_result_run, result_go)
TO_LOOP(task_events_run, events_go)
TO_LOOP(task_why_run, why_go)
TO_LOOP(task_cancel_run, cancel_go)
TO_LOOP(func_result_run, legacy_go)
