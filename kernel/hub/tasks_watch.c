/* SPDX-License-Identifier: Apache-2.0 */
/* Live events of a task: states, printed lines from any byte on, progress, the end. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/hub/tasks_int.h"
#include "kernel/value/json.h"
#include <stdlib.h>
#include <string.h>

struct tn_task_watch {
    struct list node; /* of a run, or of the list of its id */
    struct tasks *t;
    void (*cb)(void *, const tn_task_event *);
    void *user;
    tn_str id;
    uint64_t log_at; /* bytes that the watcher has */
    uint64_t seq;
    struct tk_run *run; /* it is in the list of */
    int dead;           /* unwatched while something was on its way */
    int fetching;       /* a helper thread reads the row */
    int over;           /* END is the next and last event */
    int opened;         /* the first fetch is through */
    tn_rc rc;
    struct buf json;
    char text[64];
};

static void deliver(tn_task_watch *w, uint32_t kind, uint64_t seq, tn_str text)
{
    const tn_task_event e = {.size = sizeof e, .kind = kind, .seq = seq, .text = text};
    if (!w->dead) {
        w->cb(w->user, &e);
    }
}

static void free_watch(tn_task_watch *w)
{
    buf_finish(&w->json);
    free(w);
}

/* ---- lists by id ----------------------------------------------------------------------------- */

static struct list *waiting_list(struct tasks *t, tn_str id, int make)
{
    struct list *l = map_get(&t->watched, id);
    if (!l && make && (l = malloc(sizeof *l))) {
        list_init(l);
        if (map_put(&t->watched, id, l, NULL) < 0) {
            free(l);
            l = NULL;
        }
    }
    return l;
}

static void leave_list(tn_task_watch *w)
{
    list_del(&w->node);
    struct list *l = w->run ? NULL : waiting_list(w->t, w->id, 0);
    if (l && list_empty(l)) {
        free(map_del(&w->t->watched, w->id));
    }
    w->run = NULL;
}

/* ---- reading the row ------------------------------------------------------------------------- */

static void fetch(tn_task_watch *w);

/* {"...":...,"state":"queued",...}: the row is ours, so its members have no blanks between. */
static int row_state(tn_str json)
{
    static const char mark[] = "\"state\":\"";
    const char *p = json.n ? memmem(json.s, json.n, mark, sizeof mark - 1) : NULL;
    const char *q = p ? memchr(p + sizeof mark - 1, '"', json.n - (size_t)(p - json.s) - 9) : NULL;
    return q ? job_state_of((tn_str){p + 9, (size_t)(q - p) - 9}) : -1;
}

/* What was printed and is kept goes before the end. */
static void deliver_kept_logs(tn_task_watch *w)
{
    tn_json_member m[64];
    uint32_t kind, n = 0;
    if (json_scan(buf_str(&w->json), &kind, m, 64, &n, NULL) != TN_OK) {
        return;
    }
    for (uint32_t i = 0; i < n && i < 64; i++) {
        if (str_is(m[i].key, "logs") && m[i].kind == TN_JSON_STRING) {
            char *text = malloc(m[i].value.n);
            size_t len = text ? json_unquote(m[i].value, text, m[i].value.n) : 0;
            if (len > w->log_at) {
                deliver(w, TN_EVENT_LOG, len, (tn_str){text + w->log_at, len - w->log_at});
                w->log_at = len;
            }
            free(text);
        }
    }
}

static void fetched(void *user)
{
    tn_task_watch *w = user;
    w->fetching = 0;
    if (w->dead) {
        free_watch(w);
        return;
    }
    int state = w->rc == TN_OK ? row_state(buf_str(&w->json)) : -1;
    w->fetching = 1; /* unwatch() from the callback leaves the rest to us */
    if (w->rc) {
        deliver(w, 0, 0, w->rc == TN_E_NOTFOUND ? TN_STR("") : buf_str(&w->json));
    } else if (state >= TN_TASK_SUCCEEDED) {
        leave_list(w);
        deliver_kept_logs(w);
        deliver(w, TN_EVENT_END, ++w->seq, buf_str(&w->json));
    } else if (!w->opened && !w->run) {
        deliver(w, TN_EVENT_STATE, ++w->seq, buf_str(&w->json));
    }
    w->opened = 1;
    w->fetching = 0;
    if (w->dead) {
        free_watch(w);
    } else if (w->over && w->rc == TN_OK && state < TN_TASK_SUCCEEDED) {
        fetch(w); /* it ended after the row was read */
    }
}

static void fetch_row(void *user)
{
    tn_task_watch *w = user;
    tn_err err = TN_ERR_INIT;
    buf_clear(&w->json);
    w->rc = tk_get(w->t, w->id, &w->json, &err);
    loop_post(w->t->hub->loop, fetched, w);
}

static void fetch(tn_task_watch *w)
{
    tn_err err = TN_ERR_INIT;
    if (w->fetching) {
        return; /* fetched() looks at `over` */
    }
    w->fetching = 1;
    if (loop_defer(w->t->hub->loop, fetch_row, w, &err) != TN_OK) {
        w->rc = TN_E_LIMIT;
        buf_clear(&w->json);
        loop_post(w->t->hub->loop, fetched, w);
    }
}

/* ---- watching -------------------------------------------------------------------------------- */

static void send_log(tn_task_watch *w, uint64_t end, tn_str text)
{
    uint64_t begin = end - text.n;
    if (end > w->log_at) {
        uint64_t skip = w->log_at > begin ? w->log_at - begin : 0;
        w->log_at = end;
        deliver(w, TN_EVENT_LOG, end, (tn_str){text.s + skip, text.n - skip});
    }
}

/* The members that a start brings; the row has the others. */
static void state_json(const struct job *j, const char *state, int64_t start_ms, struct buf *out)
{
    const struct {
        const char *name;
        tn_str text;
    } texts[] = {{"rootId", j->root_id},
                 {"scriptId", j->script},
                 {"funcId", j->func_id},
                 {"origin", j->origin},
                 {"originId", j->origin_id}};
    buf_adds(out, "{\"id\":");
    buf_quote(out, j->id);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        buf_printf(out, ",\"%s\":", texts[i].name);
        if (texts[i].text.s) {
            buf_quote(out, texts[i].text);
        } else {
            buf_adds(out, "null");
        }
    }
    buf_printf(
        out,
        ",\"queue\":%lld,\"priority\":%lld,\"state\":\"%s\",\"attempt\":%lld,"
        "\"maxAttempts\":%lld,\"triggerTimeMs\":%lld,\"dueTimeMs\":%lld,\"startTimeMs\":%lld}",
        (long long)j->queue, (long long)j->priority, state, (long long)j->attempt,
        (long long)j->max_attempts, (long long)j->trigger_ms, (long long)j->due_ms,
        (long long)start_ms);
}

static void tell_state(struct tk_run *r, const char *state)
{
    struct buf json = BUF_INIT(8192);
    if (list_empty(&r->watchers)) {
        return;
    }
    state_json(&r->job, state, r->start_ms, &json);
    list_for_each_safe(it, &r->watchers) {
        tn_task_watch *w = list_entry(it, tn_task_watch, node);
        deliver(w, TN_EVENT_STATE, ++w->seq, buf_str(&json));
    }
    buf_finish(&json);
}

static void join_run(tn_task_watch *w, struct tk_run *r)
{
    w->run = r;
    list_push_back(&r->watchers, &w->node);
}

static void open_watch(void *user)
{
    tn_task_watch *w = user;
    struct tasks *t = w->t;
    w->fetching = 0;
    if (w->dead) {
        free_watch(w);
        return;
    }
    struct tk_run *r = map_get(&t->running, w->id);
    if (r && r->call) {
        join_run(w, r);
        w->opened = 1;
        w->fetching = 1;
        struct buf json = BUF_INIT(8192);
        state_json(&r->job, job_states[TN_TASK_RUNNING], r->start_ms, &json);
        deliver(w, TN_EVENT_STATE, ++w->seq, buf_str(&json));
        buf_finish(&json);
        if (!w->dead) {
            tn_str logs = broker_logs(r->call);
            send_log(w, logs.n, logs);
        }
        w->fetching = 0;
        if (w->dead) {
            free_watch(w);
        }
        return;
    }
    /* First into the list, then the row is read: an end in between is not missed. */
    struct list *l = waiting_list(t, w->id, 1);
    if (l) {
        list_push_back(l, &w->node);
    }
    fetch(w);
}

tn_rc tk_watch(void *ctx, tn_str id, uint64_t log_from,
               void (*cb)(void *user, const tn_task_event *), void *user, tn_task_watch **ret,
               tn_err *err)
{
    tn_task_watch *w = calloc(1, sizeof *w);
    if (!w) {
        return err_set(err, TN_E_NOMEM, "no memory for a watch");
    }
    w->t = host_tasks(ctx);
    w->cb = cb;
    w->user = user;
    w->log_at = log_from;
    w->id = (tn_str){w->text, id.n < sizeof w->text ? id.n : sizeof w->text};
    memcpy(w->text, id.s, w->id.n);
    list_init(&w->node);
    buf_init(&w->json, 0);
    w->fetching = 1; /* open_watch() is on its way */
    loop_post(w->t->hub->loop, open_watch, w);
    *ret = w;
    return TN_OK;
}

void tk_unwatch(void *ctx, tn_task_watch *w)
{
    (void)ctx;
    if (!w || w->dead) {
        return;
    }
    leave_list(w);
    w->dead = 1;
    if (!w->fetching) {
        free_watch(w);
    }
}

/* ---- what happens to a task ------------------------------------------------------------------ */

void watch_started(struct tk_run *r)
{
    struct list *l = map_get(&r->op.t->watched, r->job.id);
    while (l && !list_empty(l)) {
        tn_task_watch *w = list_entry(l->next, tn_task_watch, node);
        list_del(&w->node);
        join_run(w, r);
        if (w->opened) {
            w->log_at = 0; /* printed lines of another attempt */
        }
        w->opened = 1;
    }
    if (l) {
        free(map_del(&r->op.t->watched, r->job.id));
    }
    tell_state(r, job_states[TN_TASK_RUNNING]);
}

void watch_log(void *run, tn_str text)
{
    struct tk_run *r = run;
    r->log_at += text.n;
    list_for_each_safe(it, &r->watchers) {
        send_log(list_entry(it, tn_task_watch, node), r->log_at, text);
    }
}

void watch_progress(struct tk_run *r, tn_str json)
{
    list_for_each_safe(it, &r->watchers) {
        tn_task_watch *w = list_entry(it, tn_task_watch, node);
        deliver(w, TN_EVENT_PROGRESS, ++w->seq, json);
    }
}

/* The watchers of a run go back to the list of its id. */
static void return_watchers(struct tk_run *r)
{
    struct list *l = list_empty(&r->watchers) ? NULL : waiting_list(r->op.t, r->job.id, 1);
    while (!list_empty(&r->watchers)) {
        tn_task_watch *w = list_entry(r->watchers.next, tn_task_watch, node);
        list_del(&w->node);
        w->run = NULL;
        if (l) {
            list_push_back(l, &w->node);
        }
    }
}

void watch_waits(struct tk_run *r)
{
    tell_state(r, job_states[r->counted ? TN_TASK_RETRYING : TN_TASK_QUEUED]);
    return_watchers(r);
}

/* A row that is not kept has no text to read: then its end comes from here. */
void watch_ended(struct tasks *t, const struct job *j, struct tk_run *r, uint32_t state)
{
    if (r) {
        return_watchers(r);
    }
    struct list *l = map_get(&t->watched, j->id);
    if (!l) {
        return;
    }
    struct buf json = BUF_INIT(8192);
    state_json(j, job_states[state], j->start_ms, &json);
    list_for_each(it, l) {
        tn_task_watch *w = list_entry(it, tn_task_watch, node);
        w->over = 1;
        if (!(j->flags & TN_TASK_NO_RECORD)) {
            fetch(w);
        }
    }
    /* A callback may end its watch, and with the last one the list goes: it is looked up for each. */
    while ((j->flags & TN_TASK_NO_RECORD) && (l = map_get(&t->watched, j->id))) {
        tn_task_watch *w = list_entry(l->next, tn_task_watch, node);
        leave_list(w);
        deliver(w, TN_EVENT_END, ++w->seq, buf_str(&json));
    }
    buf_finish(&json);
}

void watch_finish(struct tasks *t)
{
    tn_str id;
    void *value;
    for (size_t i = 0; map_next(&t->watched, &i, &id, &value);) {
        struct list *l = value;
        for (struct list *n; (n = list_pop_front(l));) {
            free_watch(list_entry(n, tn_task_watch, node));
        }
        free(l);
    }
    map_finish(&t->watched, NULL);
}
