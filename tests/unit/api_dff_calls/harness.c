/* SPDX-License-Identifier: Apache-2.0 */
/* The stub host of harness.h. */
#include "harness_request.h"

#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/value/json.h"

#include <pthread.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct seen_call seen_call;
struct seen_reply seen_reply;
int64_t test_wall_us = 1700000000000000;
tn_rc test_submit_rc;
unsigned test_orphans;
bool test_recording = true;
size_t test_records;
char test_resources[64];

/* ---- what the rest of the plugin gives ------------------------------------------------------------------ */
struct api_context api;

const char *api_setting(const char *name, const char *dflt)
{
    return strcmp(name, "RESOURCE_ROOT_PATH") == 0 ? test_resources : dflt;
}

int64_t api_setting_int(const char *name, int64_t dflt)
{
    (void)name;
    return dflt;
}

bool api_setting_bool(const char *name, bool dflt)
{
    (void)name;
    return dflt;
}

bool api_credential_fast(tn_http_req *req, const tn_match *match,
                         void (*go_on)(tn_http_req *req, const tn_match *match))
{
    (void)req;
    (void)match;
    (void)go_on;
    return true;
}

tn_str api_param(const struct api_req *r, uint32_t i)
{
    return i < r->nparams ? r->params[i] : (tn_str){NULL, 0};
}

void api_fail(struct api_req *r, enum api_code code, const char *sub, json_t *detail_take,
              const char *fmt, ...)
{
    (void)r, (void)code, (void)sub, (void)fmt;
    json_decref(detail_take);
}

void api_fail_err(struct api_req *r, const tn_err *err)
{
    (void)r, (void)err;
}

json_t *store_one(tn_txn *txn, const char *entity, const char *column, tn_str value,
                  const char *const *extra, uint32_t nextra, tn_err *err);
json_t *store_one(tn_txn *txn, const char *entity, const char *column, tn_str value,
                  const char *const *extra, uint32_t nextra, tn_err *err)
{
    (void)txn, (void)entity, (void)column, (void)value, (void)extra, (void)nextra, (void)err;
    return NULL;
}

void record_keep(void);
void record_keep(void)
{
}

void slow_keep(void);
void slow_keep(void)
{
}

/* ---- the host ----------------------------------------------------------------------------------------------- */
struct request current;
void request_release(void)
{
    if (current.open) {
        current.open = false;
        while (current.nrelease > 0) {
            current.nrelease--;
            current.release[current.nrelease](current.user[current.nrelease]);
        }
    }
}

static void on_release(void *ctx, tn_http_req *req, void (*cb)(void *), void *user)
{
    (void)ctx, (void)req;
    current.release[current.nrelease] = cb;
    current.user[current.nrelease++] = user;
}

static tn_rc header_check(tn_str name, tn_str value, tn_err *err)
{
    for (size_t i = 0; i < name.n; i++) {
        if (name.s[i] <= ' ' || name.s[i] == ':' || name.s[i] == 0x7f) {
            return err_set(err, TN_E_INVAL, "header name has byte 0x%02x",
                           (unsigned char)name.s[i]);
        }
    }
    for (size_t i = 0; i < value.n; i++) {
        if ((unsigned char)value.s[i] < ' ' && value.s[i] != '\t') {
            return err_set(err, TN_E_INVAL, "header value has byte 0x%02x",
                           (unsigned char)value.s[i]);
        }
    }
    return TN_OK;
}

static tn_rc reply(void *ctx, tn_http_req *req, const tn_http_reply *r, tn_err *err)
{
    (void)ctx, (void)req;
    size_t n = 0;
    seen_reply.count++;
    if (test_recording) {
        seen_reply.headers[0] = '\0';
        for (uint32_t i = 0; i < r->nheaders; i++) {
            if (header_check(r->headers[i].name, r->headers[i].value, err) != TN_OK) {
                seen_reply.count--;
                if (r->body_free != NULL) {
                    r->body_free(r->body_owner);
                }
                return TN_E_INVAL;
            }
            n += (size_t)snprintf(seen_reply.headers + n, sizeof seen_reply.headers - n,
                                  "%.*s: %.*s\n", (int)r->headers[i].name.n, r->headers[i].name.s,
                                  (int)r->headers[i].value.n, r->headers[i].value.s);
        }
        seen_reply.status = r->status;
        seen_reply.flags = r->flags;
        free(seen_reply.body);
        free(seen_reply.fd_path);
        seen_reply.fd_path = r->fd_path != NULL ? strdup(r->fd_path) : NULL;
        seen_reply.body_len = r->fd >= 0 ? r->fd_len : r->body_len;
        seen_reply.body = calloc(1, seen_reply.body_len + 1);
        if (r->fd >= 0) {
            if (pread(r->fd, seen_reply.body, seen_reply.body_len, (off_t)r->fd_off) < 0) {
                seen_reply.body_len = 0;
            }
        } else if (r->body_len > 0) {
            memcpy(seen_reply.body, r->body, r->body_len);
        }
    }
    if (r->fd >= 0) {
        close(r->fd);
    }
    if (r->body_free != NULL) {
        r->body_free(r->body_owner);
    }
    request_release();
    return TN_OK;
}

static char *dup_text(tn_str t)
{
    char *s = calloc(1, t.n + 1);
    if (t.n > 0) {
        memcpy(s, t.s, t.n);
    }
    return s;
}

static void forget_call(void)
{
    char **texts[] = {&seen_call.script, &seen_call.func, &seen_call.origin, &seen_call.origin_id,
                      &seen_call.args,   &seen_call.http, &seen_call.vars,   &seen_call.code};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
}

static tn_rc submit(void *ctx, const tn_call_req *r, tn_call **ret, tn_err *err)
{
    (void)ctx;
    if (test_submit_rc != TN_OK) {
        return err_set(err, test_submit_rc, "the queue holds 5 calls already");
    }
    seen_call.count++;
    seen_call.done = r->done;
    seen_call.user = r->user;
    *ret = (tn_call *)(void *)&seen_call;
    if (test_recording) {
        forget_call();
        seen_call.script = dup_text(r->script);
        seen_call.func = dup_text(r->func);
        seen_call.origin = dup_text(r->origin);
        seen_call.origin_id = dup_text(r->origin_id);
        seen_call.args = dup_text(r->args);
        seen_call.http = dup_text(r->http_text != NULL ? r->http_text(r->user) : r->http);
        seen_call.vars = dup_text(r->vars);
        seen_call.code = dup_text(r->code);
        seen_call.queue = r->queue;
        seen_call.timeout_ms = r->timeout_ms;
        seen_call.expires_ms = r->expires_ms;
        seen_call.result_ttl = r->result_ttl;
        seen_call.flags = r->flags;
    }
    return TN_OK;
}

static void orphan(void *ctx, tn_call *c)
{
    (void)ctx, (void)c;
    test_orphans++;
}

static void post(void *ctx, void (*cb)(void *), void *user)
{
    (void)ctx;
    cb(user);
}

/* One timer is enough: it runs when harness_finish() finds no call. */
static void (*timer_cb)(void *);
static void *timer_user;

static tn_rc timer(void *ctx, void (*cb)(void *), void *user, tn_timer **ret, tn_err *err)
{
    (void)ctx, (void)err;
    timer_cb = cb;
    timer_user = user;
    *ret = (tn_timer *)(void *)&timer_cb;
    return TN_OK;
}

static void timer_set(void *ctx, tn_timer *t, uint64_t at_ns)
{
    (void)ctx, (void)t, (void)at_ns;
}

static void timer_free(void *ctx, tn_timer *t)
{
    (void)ctx, (void)t;
    timer_cb = NULL;
}

static const char *rows[4] = {"[]", "[]", "[]", "[]"};
static unsigned row_turn;

static tn_rc sql(void *ctx, tn_txn *txn, const char *text, tn_str params, tn_text *ret,
                 int64_t *affected, tn_err *err)
{
    (void)ctx, (void)txn, (void)params, (void)affected, (void)err;
    unsigned i = strstr(text, "biz_main_func") ? 0 : strstr(text, "biz_main_script") ? 1 : 2;
    i = strstr(text, "biz_main_async_api") ? 3 : i;
    ret->s = strdup(rows[i]);
    ret->n = strlen(rows[i]);
    row_turn++;
    return TN_OK;
}

static void host_log(void *ctx, int32_t level, const char *fmt, ...)
{
    va_list ap;
    (void)ctx, (void)level;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static int64_t wall_us(void)
{
    return test_wall_us;
}

static uint64_t now_ns(void)
{
    return (uint64_t)test_wall_us * 1000;
}

static void host_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static const char *setting(void *ctx, const char *name)
{
    (void)ctx, (void)name;
    return NULL;
}

static void random_bytes(void *buf, size_t n)
{
    randombytes_buf(buf, n);
}

static const tn_host_loop loop_ops = {.size = sizeof loop_ops,
                                      .post = post,
                                      .timer = timer,
                                      .timer_set = timer_set,
                                      .timer_free = timer_free};
static const tn_host_http http_ops = {.size = sizeof http_ops,
                                      .reply = reply,
                                      .on_release = on_release,
                                      .header_check = header_check};
static const tn_host_calls calls_ops = {
    .size = sizeof calls_ops, .submit = submit, .orphan = orphan};
static const tn_host_entities entities_ops = {.size = sizeof entities_ops, .sql = sql};
static const tn_host_auth auth_ops = {.size = sizeof auth_ops, .random = random_bytes};
static const tn_host_json json_ops = {
    .size = sizeof json_ops, .scan = json_scan, .quote = json_quote, .unquote = json_unquote};
/* As the kernel's buffer does it: a copy of each row under a lock, the newest hundred stay. */
static void put(void *ctx, const char *entity, tn_str group, uint32_t limit, tn_str row)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char *kept[100];
    static size_t at;
    char *copy = malloc(group.n + row.n + 64);
    (void)ctx;
    (void)limit;
    if (copy != NULL && strcmp(entity, "taskRecordFunc") == 0) {
        memcpy(copy, group.s, group.n);
        memcpy(copy + group.n, row.s, row.n);
        test_records++;
    }
    pthread_mutex_lock(&lock);
    free(kept[at]);
    kept[at] = copy;
    at = (at + 1) % (sizeof kept / sizeof *kept);
    pthread_mutex_unlock(&lock);
}
static const tn_host_records records_ops = {.size = sizeof records_ops, .put = put};

static const tn_host host = {.size = sizeof host,
                             .log = host_log,
                             .fail = err_set,
                             .now_ns = now_ns,
                             .wall_us = wall_us,
                             .free = host_free,
                             .setting = setting,
                             .loop = &loop_ops,
                             .http = &http_ops,
                             .calls = &calls_ops,
                             .entities = &entities_ops,
                             .auth = &auth_ops,
                             .json = &json_ops,
                             .records = &records_ops};

void harness_open(void)
{
    if (sodium_init() < 0) {
        abort();
    }
    strcpy(test_resources, P_tmpdir "/calls-test-XXXXXX");
    if (mkdtemp(test_resources) == NULL) {
        abort();
    }
    api.host = &host;
    api.version = "1.0.0";
    api.release = "1700000000";
    tn_err err = TN_ERR_INIT;
    if (call_start(&err) != TN_OK) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
}

void harness_load(const char *funcs, const char *scripts, const char *apis)
{
    tn_err err = TN_ERR_INIT;
    rows[0] = funcs;
    rows[1] = scripts;
    rows[2] = apis;
    if (snapshot_reload(&err) != TN_OK) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
}

void harness_close(void)
{
    char command[128];
    request_release();
    forget_call();
    free(seen_reply.body);
    free(seen_reply.fd_path);
    call_stop();
    snprintf(command, sizeof command, "rm -rf %s", test_resources);
    if (system(command) != 0) {
        abort();
    }
}

void timer_fire(void)
{
    if (timer_cb != NULL) {
        timer_cb(timer_user);
    }
}
