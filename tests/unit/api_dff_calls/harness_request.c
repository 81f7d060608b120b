/* SPDX-License-Identifier: Apache-2.0 */
/* From text to requests, and the worker's answers. */
#include "harness_request.h"

#include <stdio.h>

static tn_http_part parts_next[8];
static uint32_t nparts_next;

static char *decode(char **to, const char *from, const char *end)
{
    char *start = *to;
    for (; from < end; from++) {
        char hex[3] = {0};
        if (*from == '%' && from + 2 < end) {
            memcpy(hex, from + 1, 2);
            *(*to)++ = (char)strtoul(hex, NULL, 16);
            from += 2;
        } else {
            *(*to)++ = *from == '+' ? ' ' : *from;
        }
    }
    *(*to)++ = '\0';
    return start;
}

static void parse_args(char **to, const char *query)
{
    tn_http_req *req = &current.req;
    while (*query != '\0') {
        size_t n = strcspn(query, "&"), k = strcspn(query, "=&");
        char *name = decode(to, query, query + k);
        size_t name_n = (size_t)(*to - name) - 1;
        char *value = k < n ? decode(to, query + k + 1, query + n) : decode(to, query, query);
        current.args[req->nargs++] = (tn_http_pair){{name, name_n},
                                                    {value, (size_t)(*to - value) - 1}};
        query += n + (query[n] == '&');
    }
}

void harness_parts(const tn_http_part *parts, uint32_t n)
{
    memcpy(parts_next, parts, n * sizeof *parts);
    nparts_next = n;
}

void harness_request_n(const char *method, const char *target, const char *headers,
                       const void *body, size_t n)
{
    tn_http_req *req = &current.req;
    char *to = current.text;
    /* an answer comes after the caller's buffer is gone */
    static char kept[8192];
    if (strlen(target) >= sizeof kept) {
        abort();
    }
    strcpy(kept, target);
    target = kept;
    request_release();
    memset(req, 0, sizeof *req);
    current.nrelease = 0;
    current.open = true;
    req->size = sizeof *req;
    req->start_us = test_wall_us;
    req->start_ns = api.host->now_ns();
    req->method = text_of(method);
    req->target = text_of(target);
    const char *mark = strchr(target, '?');
    const char *end = mark != NULL ? mark : target + strlen(target);
    char *path = decode(&to, target, end);
    req->path = text_of(path);
    req->query = text_of(mark != NULL ? mark + 1 : "");
    req->scheme = TN_STR("http");
    req->peer = TN_STR("127.0.0.1");
    req->headers = current.headers;
    req->args = current.args;
    req->parts = current.parts;
    req->body = body;
    req->body_len = n;
    memcpy(current.parts, parts_next, sizeof parts_next);
    req->nparts = nparts_next;
    nparts_next = 0;
    parse_args(&to, mark != NULL ? mark + 1 : "");
    while (headers != NULL && *headers != '\0') {
        size_t k = strcspn(headers, ":"), len = strcspn(headers, "\n");
        current.headers[req->nheaders++] = (tn_http_pair){{headers, k},
                                                          {headers + k + 2, len - k - 2}};
        headers += len + (headers[len] == '\n');
    }
    /* the router */
    static tn_str params[3];
    static char pieces[1024];
    tn_match match = {.params = params};
    const tn_route *route = call_routes;
    snprintf(pieces, sizeof pieces, "%s", path + strlen("/api/v1/"));
    char *slash = strchr(pieces, '/');
    for (; slash != NULL && match.nparams < 3; match.nparams++) {
        char *next = match.nparams < 2 ? strchr(slash + 1, '/') : NULL;
        params[match.nparams] = (tn_str){slash + 1,
                                         next ? (size_t)(next - slash - 1) : strlen(slash + 1)};
        slash = next;
    }
    match.route = route;
    route->handler(NULL, req, &match);
}

void harness_request(const char *method, const char *target, const char *headers, const char *body)
{
    harness_request_n(method, target, headers, body, body != NULL ? strlen(body) : 0);
}

void harness_finish(const tn_call_result *r)
{
    timer_fire();
    seen_call.done(seen_call.user, r);
}

void harness_value(uint32_t kind, const char *value, const char *control)
{
    tn_call_result r = {.size = sizeof r,
                        .status = TN_CALL_SUCCESS,
                        .value_kind = kind,
                        .task_id = TN_STR("task-000000000000"),
                        .value = text_of(value),
                        .value_fd = -1,
                        .control = text_of(control)};
    r.value_len = r.value.n;
    harness_finish(&r);
}

void harness_status(uint32_t status, const char *error)
{
    tn_call_result r = {.size = sizeof r,
                        .status = status,
                        .value_fd = -1,
                        .error = text_of(error),
                        .retry_ms = 2500};
    harness_finish(&r);
}

void harness_abort(void)
{
    request_release();
}

const char *harness_header(const char *name)
{
    static char value[2048];
    size_t n = strlen(name);
    for (const char *p = seen_reply.headers; *p != '\0'; p += strcspn(p, "\n") + 1) {
        if (strncasecmp(p, name, n) == 0 && p[n] == ':') {
            snprintf(value, sizeof value, "%.*s", (int)strcspn(p + n + 2, "\n"), p + n + 2);
            return value;
        }
    }
    return NULL;
}
