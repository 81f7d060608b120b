/* SPDX-License-Identifier: Apache-2.0 */
/* What every answer carries: trace id, measured times, headers of spec 0.3, CORS, the envelope. */
#include "mask.h"
#include "operation.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_TYPE "application/json; charset=utf-8"

static const struct {
    uint32_t status;
    const char *name, *number;
} codes[API_NCODES] = {
#define X(name, status, number) {status, #name, number},
    API_CODES(X)
#undef X
};

uint32_t api_code_status(enum api_code code)
{
    return codes[code].status;
}

/* Trace ids must differ but need not be secret: a seeded generator per thread spares a
 * system call per answer. */
static uint64_t trace_random(void)
{
    static _Thread_local uint64_t s[2];
    if (s[0] == 0 && s[1] == 0) {
        api.host->auth->random(s, sizeof s);
        s[0] |= 1;
    }
    uint64_t a = s[0], b = s[1];
    s[0] = b;
    a ^= a << 23;
    s[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
    return s[1] + b;
}

/* Eight hexadecimal digits at once: nibbles are spread over bytes, and letters lie 7 behind ':'. */
static void put_hex(char *p, uint32_t v)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t x = v;
    x = (x << 16 | x) & 0x0000FFFF0000FFFFu;
    x = (x << 8 | x) & 0x00FF00FF00FF00FFu;
    x = (x << 4 | x) & 0x0F0F0F0F0F0F0F0Fu;
    uint64_t letter = (x + ones * 6) >> 4 & ones;
    x = htobe64(x + ones * '0' + letter * 7);
    memcpy(p, &x, 8);
}

/* A random UUID: version 4, RFC 9562. */
static void trace_make(char ret[129])
{
    uint64_t high = (trace_random() & ~0xF000ull) | 0x4000;
    uint64_t low = trace_random() >> 2 | 1ull << 63;
    char hex[32];
    put_hex(hex, (uint32_t)(high >> 32));
    put_hex(hex + 8, (uint32_t)high);
    put_hex(hex + 16, (uint32_t)(low >> 32));
    put_hex(hex + 24, (uint32_t)low);
    memcpy(ret, "TRACE-", 6);
    memcpy(ret + 6, hex, 8);
    memcpy(ret + 15, hex + 8, 4);
    memcpy(ret + 20, hex + 12, 4);
    memcpy(ret + 25, hex + 16, 4);
    memcpy(ret + 30, hex + 20, 12);
    ret[14] = ret[19] = ret[24] = ret[29] = '-';
    ret[42] = '\0';
}

/* May this text from a request header be sent back in one? */
static bool echoable(tn_str t, size_t max)
{
    if (t.s == NULL || t.n == 0 || t.n > max) {
        return false;
    }
    for (size_t i = 0; i < t.n; i++) {
        if (t.s[i] < 0x20 || t.s[i] > 0x7E) {
            return false;
        }
    }
    return true;
}

bool api_stamp_header(struct api_stamp *s, tn_str name, tn_str value)
{
    if (s->nheaders == API_MAX_HEADERS) {
        return false;
    }
    s->headers[s->nheaders++] = (tn_http_pair){name, value};
    return true;
}

bool api_stamp_clean(struct api_stamp *s, tn_str name, tn_str value)
{
    bool ok = api_stamp_header(s, name, value);
    if (ok && s->nclean + 1 == s->nheaders) { /* none before it that has to be looked at */
        s->nclean++;
    }
    return ok;
}

static bool origin_allowed(tn_str origin)
{
    const char *p = api_setting("WEB_CORS_ORIGIN", "true");
    if (text_is(text_of(p), "true") || text_is(text_of(p), "*")) {
        return true;
    }
    while (*p != '\0') {
        size_t n = strcspn(p, ", ");
        if (n == origin.n && memcmp(p, origin.s, n) == 0) {
            return true;
        }
        p += n;
        p += strspn(p, ", ");
    }
    return false;
}

static void stamp_cors(struct api_stamp *s, const tn_http_req *req)
{
    tn_str origin = tn_http_header(req, "origin");
    if (!echoable(origin, 512)) {
        return;
    }
    api_stamp_header(s, TN_STR("Vary"), TN_STR("Origin"));
    if (!origin_allowed(origin)) {
        return;
    }
    api_stamp_header(s, TN_STR("Access-Control-Allow-Origin"), origin);
    if (api_setting_bool("WEB_CORS_CREDENTIALS", true)) {
        api_stamp_header(s, TN_STR("Access-Control-Allow-Credentials"), TN_STR("true"));
    }
    api_stamp_header(s, TN_STR("Access-Control-Expose-Headers"),
                     TN_STR("X-Trace-Id, X-Request-Time, X-Response-Time, X-Request-Cost, "
                            "X-Client-Time, X-Dff-Version, X-Dff-Release-Timestamp, X-Dff-Cache, "
                            "Content-Disposition, Retry-After, ETag"));
}

void api_trace(const tn_http_req *req, char ret[129])
{
    tn_str given = tn_http_header(req, "x-trace-id");
    if (given.s != NULL && echoable(given, 128)) {
        memcpy(ret, given.s, given.n);
        ret[given.n] = '\0';
    } else {
        trace_make(ret);
    }
}

void api_stamp_as(struct api_stamp *s, const tn_http_req *req, const char *trace)
{
    if (trace != NULL) {
        memcpy(s->trace, trace, strlen(trace) + 1);
    } else {
        api_trace(req, s->trace);
    }
    tn_str client = tn_http_header(req, "x-client-time");
    s->client_time = echoable(client, 128) ? client : (tn_str){NULL, 0};
    uint64_t now = api.host->now_ns();
    uint64_t ns = now > req->start_ns ? now - req->start_ns : 0;
    iso_time(req->start_us, s->req_time);
    iso_time(req->start_us + (int64_t)(ns / 1000), s->resp_time);
    uint64_t ms = ns / 1000000;
    int n = 1;
    if (ms < 10) { /* nearly always, and printf is a tenth of a hot answer */
        s->cost[0] = (char)('0' + ms);
        s->cost[1] = '\0';
    } else {
        n = snprintf(s->cost, sizeof s->cost, "%llu", (unsigned long long)ms);
    }
    s->nheaders = 0;
    s->nclean = 0;
    s->flags = 0;
    api_stamp_clean(s, TN_STR("X-Trace-Id"), text_of(s->trace));
    api_stamp_clean(s, TN_STR("X-Request-Time"), (tn_str){s->req_time, ISO_LEN});
    api_stamp_clean(s, TN_STR("X-Response-Time"), (tn_str){s->resp_time, ISO_LEN});
    api_stamp_clean(s, TN_STR("X-Request-Cost"), (tn_str){s->cost, (size_t)n});
    api_stamp_clean(s, TN_STR("X-Client-Time"),
                    s->client_time.s != NULL ? s->client_time : TN_STR("null"));
    api_stamp_clean(s, TN_STR("X-Dff-Version"), text_of(api.version));
    api_stamp_clean(s, TN_STR("X-Dff-Release-Timestamp"), text_of(api.release));
    stamp_cors(s, req);
    s->api_headers = s->nheaders;
}

void api_stamp(struct api_stamp *s, const tn_http_req *req)
{
    api_stamp_as(s, req, NULL);
}

void api_envelope_head(struct str *b)
{
    static const char head[] = "{\"ok\":true,\"error\":200,\"message\":\"\",\"data\":";
    str_add(b, head, sizeof head - 1);
}

void api_envelope_tail(struct str *b, const struct api_stamp *s, const char *more)
{
    if (more != NULL) {
        str_puts(b, more);
    }
    str_puts(b, ",\"traceId\":");
    str_quote(b, text_of(s->trace));
    str_puts(b, ",\"clientTime\":");
    if (s->client_time.s != NULL) {
        str_quote(b, s->client_time);
    } else {
        str_puts(b, "null");
    }
    str_puts(b, ",\"reqTime\":\"");
    str_add(b, s->req_time, ISO_LEN);
    str_puts(b, "\",\"respTime\":\"");
    str_add(b, s->resp_time, ISO_LEN);
    str_puts(b, "\",\"reqCost\":");
    str_puts(b, s->cost);
    str_char(b, '}');
}

tn_rc api_send(tn_http_req *req, struct api_stamp *s, uint32_t status, const char *type,
               struct str *body_take, tn_err *err)
{
    static const char no_memory[] = "{\"ok\":false,\"error\":500.5,\"reason\":\"ESys\","
                                    "\"message\":\"Out of memory\",\"status\":500}";
    if (type != NULL) {
        api_stamp_header(s, TN_STR("Content-Type"), text_of(type));
    }
    abnormal_note(req, s, status);
    tn_http_reply reply = {.size = sizeof reply,
                           .status = status,
                           .headers = s->headers,
                           .nheaders = s->nheaders,
                           .flags = s->flags,
                           .fd = -1,
                           .nclean = s->nclean};
    if (body_take->failed) {
        str_free(body_take);
        reply.status = 500;
        reply.body = (const uint8_t *)no_memory;
        reply.body_len = sizeof no_memory - 1;
    } else if (body_take->s != NULL) {
        reply.body = (const uint8_t *)body_take->s;
        reply.body_len = body_take->n;
        reply.body_free = free;
        reply.body_owner = body_take->s;
        *body_take = (struct str){0};
    }
    return api.host->http->reply(api.host->ctx, req, &reply, err);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void error_page(struct str *b, uint32_t status, const char *message)
{
    str_printf(b,
               "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>%u</title></head>"
               "<body><h1>%u</h1><p>",
               status, status);
    for (const char *p = message; *p != '\0'; p++) {
        switch (*p) {
        case '<':
            str_puts(b, "&lt;");
            break;
        case '>':
            str_puts(b, "&gt;");
            break;
        case '&':
            str_puts(b, "&amp;");
            break;
        case '"':
            str_puts(b, "&quot;");
            break;
        default:
            str_char(b, *p);
        }
    }
    str_puts(b, "</p></body></html>\n");
}

static bool under_api(tn_str path)
{
    return text_has_prefix(path, "/api") && (path.n == 4 || path.s[4] == '/');
}

/* What passes by itself says when to come back; whoever knows better has said so already. */
static void advise(struct api_stamp *s, enum api_code code)
{
    if (code != ESysLimitReached && code != ESysStorageFull) {
        return;
    }
    for (uint32_t i = s->api_headers; i < s->nheaders; i++) {
        if (text_is(s->headers[i].name, "Retry-After")) {
            return;
        }
    }
    api_stamp_header(s, TN_STR("Retry-After"), TN_STR("1"));
}

void api_error_with(tn_http_req *req, struct api_stamp *s, enum api_code code, const char *sub,
                    tn_str detail, const char *message)
{
    struct str b = {0};
    const char *type = JSON_TYPE;
    advise(s, code);
    if (under_api(req->path)) {
        str_printf(
            &b, "{\"ok\":false,\"error\":%s,\"reason\":\"%s%s%s\",\"message\":", codes[code].number,
            codes[code].name, sub != NULL ? "." : "", sub != NULL ? sub : "");
        str_quote(&b, text_of(message));
        if (detail.s != NULL && detail.n > 0) {
            str_puts(&b, ",\"detail\":");
            str_text(&b, detail);
        }
        str_printf(&b, ",\"status\":%u,\"reqDump\":", codes[code].status);
        api_req_dump(&b, req);
        api_envelope_tail(&b, s, NULL);
    } else {
        type = "text/html; charset=utf-8";
        error_page(&b, codes[code].status, message);
    }
    tn_err err = TN_ERR_INIT;
    if (api_send(req, s, codes[code].status, type, &b, &err) != TN_OK) {
        /* Only a header of the caller can be at fault; without those the answer must go out. */
        api.host->log(api.host->ctx, TN_LOG_ERROR, "answer to %.*s: %s", (int)req->path.n,
                      req->path.s, err.msg);
        struct str plain = {0};
        error_page(&plain, 500, "A header of this answer is not allowed");
        s->nheaders = s->api_headers;
        api_send(req, s, 500, "text/html; charset=utf-8", &plain, NULL);
    }
}

void api_error(tn_http_req *req, enum api_code code, const char *sub, tn_str detail,
               const char *fmt, ...)
{
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    struct api_stamp s;
    api_stamp(&s, req);
    api_error_with(req, &s, code, sub, detail, message);
}
