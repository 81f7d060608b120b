/* SPDX-License-Identifier: Apache-2.0 */
/* From a function's result to the HTTP answer (spec 2.7, 2.8). */
#include "operation.h"
#include "respond.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define JSON_TYPE TN_STR("application/json; charset=utf-8")
#define HTML_TYPE TN_STR("text/html; charset=utf-8")

static void stamp_call(struct api_stamp *s, const struct call *c)
{
    api_stamp_as(s, c->req, c->managed != NULL ? c->managed->trace : NULL);
    if (c->managed != NULL && c->managed->cookie != NULL) {
        api_stamp_header(s, TN_STR("Set-Cookie"), text_of(c->managed->cookie));
    }
}

/* ---- refusals and failures ------------------------------------------------------------------------------ */
bool call_refuse(struct call_refusal *why, enum api_code code, const char *sub, const char *fmt,
                 ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why->message, sizeof why->message, fmt, ap);
    va_end(ap);
    why->code = code;
    why->sub = sub;
    return false;
}

void call_refusal_finish(struct call_refusal *why)
{
    str_free(&why->detail);
    str_free(&why->challenge);
}

static void respond_error_with(struct call *c, enum api_code code, const char *sub, tn_str detail,
                               const char *message, int64_t retry_s,
                               const struct call_refusal *challenges)
{
    struct api_stamp s;
    char retry[24];
    stamp_call(&s, c);
    if (retry_s > 0) {
        int n = snprintf(retry, sizeof retry, "%lld", (long long)retry_s);
        api_stamp_header(&s, TN_STR("Retry-After"), (tn_str){retry, (size_t)n});
    }
    for (uint32_t i = 0; challenges != NULL && i < challenges->nchallenges; i++) {
        const char *line = challenges->challenge.s + challenges->challenge_at[i];
        api_stamp_header(&s, TN_STR("WWW-Authenticate"), (tn_str){line, strcspn(line, "\n")});
    }
    api_error_with(c->req, &s, code, sub, detail, message);
}

static void respond_error(struct call *c, enum api_code code, const char *sub, tn_str detail,
                          const char *message, int64_t retry_s)
{
    respond_error_with(c, code, sub, detail, message, retry_s, NULL);
}

void respond_refusal(struct call *c, struct call_refusal *why)
{
    respond_error_with(c, why->code, why->sub, str_view(&why->detail), why->message, why->retry_s,
                       why->challenge.failed || why->challenge.s == NULL ? NULL : why);
}

void respond_failed(struct call *c, const char *fmt, ...)
{
    char text[512];
    struct str detail = {0};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    str_puts(&detail, "{\"exception\":");
    add_quote(&detail, text_of(text));
    str_puts(&detail, ",\"exceptionType\":\"InvalidResponse\",\"traceback\":null}");
    respond_error(c, EFuncFailed, NULL, str_view(&detail), "Func task failed", 0);
    str_free(&detail);
}

/* What each unsuccessful status is answered with. `exception` stands in when nobody said why; for an
 * expired call it is the vocabulary's own text, whatever the broker says. */
static const struct outcome {
    enum api_code code;
    const char *sub, *message, *exception;
} outcomes[TN_CALL_STATUSES] = {
    [TN_CALL_FAILURE] = {EFuncFailed, NULL, "Func task failed", "The function failed"},
    [TN_CALL_TIMEOUT] = {EFuncTimeout, NULL, "Func task timeout",
                         "Task execution takes too much time and has been interrupted by force"},
    [TN_CALL_EXPIRED] = {EFuncTimeout, "TaskExpired", "Func task expired",
                         "Task waited takes too much time and has been interrupted by force"},
    [TN_CALL_SKIPPED] = {EFuncFailed, NULL, "Func task skipped", "The function raised a warning"},
    [TN_CALL_CRASHED] = {EFuncFailed, NULL, "Func task failed", "The worker process died"},
    [TN_CALL_OVERLOAD] = {ESysLimitReached, NULL, "Too many calls are waiting", NULL},
    [TN_CALL_CANCELED] = {EWorkerNoResponse, NULL, "Worker no response", "The call was canceled"},
};

static void respond_outcome(struct call *c, const tn_call_result *r)
{
    const struct outcome *o = &outcomes[r->status < TN_CALL_STATUSES ? r->status : TN_CALL_CRASHED];
    struct str detail = {0};
    int64_t retry_s = 0;
    uint32_t kind;
    if (r->status == TN_CALL_OVERLOAD) {
        retry_s = r->retry_ms > 0 ? (r->retry_ms + 999) / 1000 : 1;
    } else if (r->error.n > 0 && r->status != TN_CALL_EXPIRED &&
               api.host->json->scan(r->error, &kind, NULL, 0, NULL, NULL) == TN_OK &&
               kind == TN_JSON_OBJECT) {
        str_text(&detail, r->error);
    } else {
        str_puts(&detail, "{\"exception\":");
        add_quote(&detail, text_of(o->exception));
        str_puts(&detail, r->status == TN_CALL_EXPIRED
                              ? ",\"exceptionType\":\"TaskExpired\",\"traceback\":null}"
                              : ",\"exceptionType\":null,\"traceback\":null}");
    }
    respond_error(c, o->code, o->sub, str_view(&detail), o->message, retry_s);
    str_free(&detail);
}

/* ---- sending ---------------------------------------------------------------------------------------------- */
static void send_reply(struct answer *a, tn_http_reply *reply)
{
    tn_err err = TN_ERR_INIT;
    if (!a->has_type) {
        api_stamp_header(&a->stamp, TN_STR("Content-Type"), a->type);
    }
    reply->size = sizeof *reply;
    reply->status = a->status;
    reply->headers = a->stamp.headers;
    reply->nheaders = a->stamp.nheaders;
    reply->nclean = a->stamp.nclean;
    reply->flags |= a->stamp.flags;
    abnormal_note(a->call->req, &a->stamp, a->status);
    if (api.host->http->reply(api.host->ctx, a->call->req, reply, &err) != TN_OK) {
        respond_failed(a->call, "%s", err.msg);
    }
}

void answer_send(struct answer *a, struct str *body_take)
{
    tn_http_reply reply = {.fd = -1};
    if (body_take->failed) {
        str_free(body_take);
        respond_failed(a->call, "Out of memory");
        return;
    }
    if (body_take->s != NULL) {
        reply.body = (const uint8_t *)body_take->s;
        reply.body_len = body_take->n;
        reply.body_free = free;
        reply.body_owner = body_take->s;
        *body_take = (struct str){0};
    }
    send_reply(a, &reply);
}

void answer_send_fd(struct answer *a, int fd, uint64_t len, const char *path)
{
    tn_http_reply reply = {
        .fd = fd, .fd_len = len, .fd_path = path, .flags = path != NULL ? TN_REPLY_DELETE : 0};
    send_reply(a, &reply);
}

void respond_data(struct call *c, tn_str data, const char *more, const tn_http_pair *header)
{
    struct api_stamp s;
    struct str body = {0};
    stamp_call(&s, c);
    if (header != NULL) {
        api_stamp_header(&s, header->name, header->value);
    }
    api_envelope_head(&body);
    str_text(&body, data);
    api_envelope_tail(&body, &s, more);
    api_send(c->req, &s, 200, "application/json; charset=utf-8", &body, NULL);
}

/* ---- values ------------------------------------------------------------------------------------------------ */
/* The value as JSON text. */
static void write_json(struct str *out, const tn_call_result *r)
{
    if (r->value_kind == TN_VALUE_NONE) {
        add_lit(out, "null");
    } else if (r->value_kind == TN_VALUE_TEXT) {
        add_quote(out, r->value);
    } else {
        add(out, r->value);
    }
}

/* The value as the return type wants it; *ret_kind: what the text is now. */
static void write_value(struct str *out, const tn_call_result *r, enum call_return type,
                        uint32_t *ret_kind)
{
    *ret_kind = r->value_kind;
    switch (type) {
    case RETURN_DUMPS:
        write_json(out, r);
        *ret_kind = TN_VALUE_TEXT;
        break;
    case RETURN_REPR:
        respond_repr(out, r);
        *ret_kind = TN_VALUE_TEXT;
        break;
    case RETURN_ALL: {
        struct str text = {0};
        add_lit(out, "{\"raw\":");
        write_json(out, r);
        add_lit(out, ",\"repr\":");
        respond_repr(&text, r);
        add_quote(out, str_view(&text));
        str_clear(&text);
        add_lit(out, ",\"jsonDumps\":");
        write_json(&text, r);
        add_quote(out, str_view(&text));
        add_lit(out, "}");
        str_free(&text);
        *ret_kind = TN_VALUE_JSON;
        break;
    }
    default:
        add(out, r->value);
    }
}

/* The bare value. A type of the script's own gets the charset of what we send, as the original does. */
static bool send_bare(struct answer *a, const tn_call_result *r, enum call_return type)
{
    struct str body = {0};
    uint32_t kind = r->value_kind;
    tn_str name, given = answer_type(a);
    if (given.n > 0) {
        type = RETURN_RAW;
    }
    bool plain = type == RETURN_PLAIN || type == RETURN_RAW;
    if (!(plain && r->value_fd >= 0)) {
        write_value(&body, r, type, &kind);
    }
    a->type = kind == TN_VALUE_JSON || kind == TN_VALUE_BOOL ? JSON_TYPE : HTML_TYPE;
    if (answer_download(a, &name)) {
        if (name.n == 0) {
            name = kind == TN_VALUE_JSON ? TN_STR("api-resp.json") : TN_STR("api-resp.txt");
        }
        if (given.n == 0) {
            given = text_of(mime_of(name));
        }
        if (!answer_attach(a, name)) {
            str_free(&body);
            return false;
        }
    }
    if (given.n > 0) {
        bool charset = memmem(given.s, given.n, "charset=", 8) != NULL;
        a->type = answer_keep(a, given);
        if (!charset && a->type.n > 0) {
            answer_keep(a, TN_STR("; charset=utf-8"));
            a->type.n += 15;
        }
        tn_err err = TN_ERR_INIT;
        if (api.host->http->header_check(TN_STR("Content-Type"), a->type, &err) != TN_OK) {
            snprintf(a->why, sizeof a->why, "Invalid content type in the response: %s", err.msg);
            str_free(&body);
            return false;
        }
    }
    if (plain && r->value_fd >= 0) {
        int fd = fcntl(r->value_fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0) {
            snprintf(a->why, sizeof a->why, "No descriptor is left for the answer");
            return false;
        }
        answer_send_fd(a, fd, r->value_len, NULL);
        return true;
    }
    answer_send(a, &body);
    return true;
}

void respond_value_json(struct str *out, const tn_call_result *r, enum call_return type)
{
    struct str value = {0};
    tn_call_result converted = *r;
    write_value(&value, r, type, &converted.value_kind);
    converted.value = str_view(&value);
    write_json(out, &converted);
    out->failed |= value.failed;
    str_free(&value);
}

static void send_envelope(struct answer *a, const tn_call_result *r, enum call_return type)
{
    struct str body = {0};
    api_envelope_head(&body);
    add_lit(&body, "{\"result\":");
    respond_value_json(&body, r, type);
    add_lit(&body, "}");
    api_envelope_tail(&body, &a->stamp, NULL);
    a->type = JSON_TYPE;
    answer_send(a, &body);
}

static bool respond_value(struct call *c, const tn_call_result *r, bool kept)
{
    struct answer a;
    bool ok, missing = false;
    a.call = c;
    a.text = (struct str){0};
    a.status = 200;
    a.has_type = false;
    a.why[0] = '\0';
    stamp_call(&a.stamp, c);
    if (kept) {
        api_stamp_header(&a.stamp, TN_STR("X-Dff-Cache"), TN_STR("Cached"));
    }
    ok = answer_control(&a, r) && answer_head(&a);
    if (ok && a.control.file.value.n > 0) {
        ok = answer_file(&a, kept, &missing);
    } else if (ok && (c->unbox || a.control.type.value.n > 0 || a.control.download.value.n > 0)) {
        ok = send_bare(&a, r, c->return_type);
    } else if (ok) {
        send_envelope(&a, r, c->return_type);
    }
    if (!ok && !(kept && missing)) {
        respond_failed(c, "%s", a.why);
    }
    str_free(&a.text);
    return ok || !(kept && missing);
}

/* The answer of a debugger run: the task response as data. */
static void respond_draft(struct call *c, const tn_call_result *r)
{
    struct api_stamp s;
    struct str body = {0};
    stamp_call(&s, c);
    api_envelope_head(&body);
    call_debug_report(r, &body);
    api_envelope_tail(&body, &s, NULL);
    api_send(c->req, &s, 200, "application/json; charset=utf-8", &body, NULL);
}

bool respond_result(struct call *c, const tn_call_result *result, bool kept)
{
    tn_call_result r = *result;
    void *map = NULL;
    bool ok = true;
    /* A debugger run reports its own failures; what never got that far is an error like any other. */
    if (r.status != TN_CALL_SUCCESS &&
        !(c->draft && (r.status == TN_CALL_FAILURE || r.status == TN_CALL_CRASHED))) {
        respond_outcome(c, &r);
        return true;
    }
    /* A result in a descriptor is only looked at when it has to become part of something. */
    if (r.value_fd >= 0 && r.value_len > 0 &&
        (!c->unbox || c->draft || c->return_type > RETURN_RAW || c->cache_s > 0)) {
        map = mmap(NULL, r.value_len, PROT_READ, MAP_SHARED, r.value_fd, 0);
        if (map == MAP_FAILED) {
            respond_failed(c, "The result of %llu bytes cannot be mapped",
                           (unsigned long long)r.value_len);
            return true;
        }
        r.value = (tn_str){map, r.value_len};
        r.value_fd = -1;
    }
    if (c->draft) {
        respond_draft(c, &r);
    } else if (!kept && c->cache_s > 0) {
        cache_put(calls.cache, c->cache_key, api.host->now_ns(), c->cache_s, &r);
    }
    if (!c->draft) {
        ok = respond_value(c, &r, kept);
    }
    if (map != NULL) {
        munmap(map, r.value_len);
    }
    return ok;
}
