/* SPDX-License-Identifier: Apache-2.0 */
/* The cron trigger: a thread that sleeps until the next occurrence and hands over what is due. */
#include "trigger.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* After something was handed over, the next looks are this far apart: many schedules with phases of
 * their own then share wake-ups and transactions. A lone one is never kept waiting. */
#define TOGETHER_US 20000

static const tn_host *host;

static const tn_field fields[] = {
    {TN_FIELD(struct cron_conf, late_after), .dflt = "60s", .min = 1000, .max = 3600000,
     .doc = "An occurrence that is noticed later than this is caught up by its schedule's policy; "
            "earlier it simply runs."},
    {.name = NULL},
};

/* ---- operations, any thread ------------------------------------------------------------------ */
/* What an empty name means: the setting TIMEZONE. */
static tn_str zone_name(tn_str given)
{
    const char *dflt = host->setting(host->ctx, "TIMEZONE");
    if (given.n > 0) {
        return given;
    }
    return dflt != NULL && dflt[0] != '\0' ? (tn_str){dflt, strlen(dflt)} : TN_STR("UTC");
}

static tn_rc read_both(struct cron *c, tn_str expr, tn_str zone, struct cron_expr *ret_expr,
                       const struct zone **ret_zone, tn_err *err)
{
    char why[320];
    tn_rc rc = expr_parse(expr, ret_expr, why, sizeof why);
    if (rc == TN_OK) {
        rc = zones_get(&c->zones, zone_name(zone), ret_zone, why, sizeof why);
    }
    if (rc != TN_OK) {
        return host->fail(err, rc == TN_E_NOTFOUND ? TN_E_INVAL : rc, "%s", why);
    }
    return TN_OK;
}

static void wake(const struct cron *c)
{
    uint64_t one = 1;
    ssize_t n = write(c->wake_fd, &one, sizeof one);
    (void)n; /* full: it is awake anyway */
}

static tn_rc schedule_put(void *inst, const tn_schedule *in, tn_err *err)
{
    struct cron *c = inst;
    struct cron_expr expr;
    const struct zone *zone = NULL;
    bool readable = in->expr.n > 0 &&
                    read_both(c, in->expr, in->timezone, &expr, &zone, NULL) == TN_OK;
    pthread_mutex_lock(&c->lock);
    int64_t before = wheel_due(&c->wheel);
    tn_rc rc = wheel_put(&c->wheel, in, readable ? &expr : NULL, zone);
    bool sooner = wheel_due(&c->wheel) < before;
    pthread_mutex_unlock(&c->lock);
    if (sooner) {
        wake(c);
    }
    return rc == TN_OK
               ? TN_OK
               : host->fail(err, rc, "schedule \"%.*s\" is not taken: %s", (int)in->id.n, in->id.s,
                            rc == TN_E_NOMEM ? "no memory" : "its id is empty or too long");
}

static void schedule_drop(void *inst, tn_str id)
{
    struct cron *c = inst;
    pthread_mutex_lock(&c->lock);
    wheel_drop(&c->wheel, id);
    pthread_mutex_unlock(&c->lock);
}

static tn_rc schedule_check(void *inst, tn_str expr, tn_str zone, tn_err *err)
{
    struct cron_expr e;
    const struct zone *z;
    return read_both(inst, expr, zone, &e, &z, err);
}

static uint32_t schedule_next(void *inst, tn_str expr, tn_str zone, int64_t after_us,
                              int64_t *ret_us, uint32_t n)
{
    struct cron_expr e;
    const struct zone *z;
    uint32_t got = 0;
    if (read_both(inst, expr, zone, &e, &z, NULL) != TN_OK) {
        return 0;
    }
    int64_t at = after_us >= 0 ? after_us / US : -((-after_us + US - 1) / US);
    while (got < n && occur_next(&e, z, at, &at)) {
        ret_us[got++] = at * US;
    }
    return got;
}

static void schedule_pause(void *inst, int64_t until_us)
{
    struct cron *c = inst;
    pthread_mutex_lock(&c->lock);
    c->wheel.pause_until_us = until_us;
    pthread_mutex_unlock(&c->lock);
}

/* ---- the thread ------------------------------------------------------------------------------ */
/* A step of the wall clock against the monotonic one, beyond what adjusting makes. */
static void look_for_jump(struct cron *c, int64_t now_us)
{
    int64_t apart = now_us - (int64_t)(host->now_ns() / 1000), jump = apart - c->apart_us;
    c->apart_us = apart;
    if (jump > -2 * US && jump < 2 * US) {
        return;
    }
    int big = jump > 60 * US || jump < -60 * US;
    pthread_mutex_lock(&c->lock);
    c->jumps++;
    c->last_jump_us = jump;
    if (jump > 0) {
        c->wheel.jumped_us = now_us;
    }
    pthread_mutex_unlock(&c->lock);
    host->log(host->ctx, big ? TN_LOG_ALERT : TN_LOG_WARNING, "the clock was set %s by %.1f s: %s",
              jump > 0 ? "forward" : "back", (double)(jump > 0 ? jump : -jump) / 1e6,
              jump > 0 ? "occurrences in between are caught up or missed, as each schedule says"
                       : "no occurrence happens again, schedules go on where they were");
}

/* Keeps the distribution of how late occurrences were handed over: powers of two of 64 us. */
static void account(struct cron *c, int64_t now_us, const struct wheel_batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->fires[i].outcome == TN_OCCUR_RUN) {
            int64_t late = now_us - b->fires[i].due_us;
            int slot = 0;
            for (int64_t v = late / 64; v > 0 && slot < CRON_SLOTS - 1; v /= 2) {
                slot++;
            }
            c->lateness[slot]++;
            c->latest_us = late > c->latest_us ? late : c->latest_us;
        }
    }
}

/* An occurrence that lay there for seconds although this thread was not held up: something woke us
 * too late. It goes out now; somebody should know. */
static void watchdog(struct cron *c, int64_t now_us, int64_t due_us, int64_t slept_from_us)
{
    if (due_us < slept_from_us || now_us - due_us < 5 * US || c->wheel.jumped_us == now_us) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    c->overslept++;
    pthread_mutex_unlock(&c->lock);
    host->log(
        host->ctx, TN_LOG_ALERT,
        "an occurrence was noticed %.1f s after its time although nothing was in the way; it is "
        "handed over now",
        (double)(now_us - due_us) / 1e6);
}

/* Hands everything over that is due. False: the platform cannot take more now. */
static bool deliver(struct cron *c)
{
    struct wheel_batch *b = c->batch;
    for (bool more = true; more || b->n > 0;) {
        if (b->n == 0) {
            int64_t now = host->wall_us();
            b->used = 0;
            pthread_mutex_lock(&c->lock);
            more = wheel_take(&c->wheel, now, b);
            account(c, now, b);
            pthread_mutex_unlock(&c->lock);
        }
        if (b->n == 0) {
            break;
        }
        tn_err err = TN_ERR_INIT;
        tn_rc rc = host->schedules->fire(host->ctx, b->fires, b->n, &err);
        if (rc == TN_OK) {
            b->n = 0;
            c->refused = 0;
            c->handed_us = host->wall_us();
            continue;
        }
        if (c->refused++ == 0) { /* kept and offered again: nothing is lost */
            host->log(host->ctx, TN_LOG_WARNING, "%u occurrences wait until they can be taken: %s",
                      b->n, err.msg);
        }
        return false;
    }
    return true;
}

/* Sleeps until the next occurrence, a change, a clock that was set, or a second is over: so a wake-up
 * that gets lost costs a second at most. */
static bool sleep_until(struct cron *c, int32_t stop_fd, bool ready)
{
    pthread_mutex_lock(&c->lock);
    int64_t due = wheel_due(&c->wheel);
    pthread_mutex_unlock(&c->lock);
    int64_t now = host->wall_us(), wait = !ready ? US / 20 : due - now;
    int64_t apart = c->handed_us + TOGETHER_US - now;
    wait = wait < apart && apart <= TOGETHER_US ? apart : wait;
    wait = wait < US ? (wait > 0 ? wait : 0) : US;
    struct timespec real;
    clock_gettime(CLOCK_REALTIME, &real);
    int64_t ns = (int64_t)real.tv_nsec + wait % US * 1000;
    struct itimerspec at = {.it_value = {.tv_sec = real.tv_sec + wait / US + ns / 1000000000,
                                         .tv_nsec = ns % 1000000000}};
    if (wait > 0) {
        timerfd_settime(c->timer_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL);
        struct pollfd fds[] = {{.fd = stop_fd, .events = POLLIN},
                               {.fd = c->timer_fd, .events = POLLIN},
                               {.fd = c->wake_fd, .events = POLLIN}};
        uint64_t n;
        while (poll(fds, 3, 1500) < 0 && errno == EINTR) {}
        if (fds[0].revents != 0) {
            return false;
        }
        ssize_t got = read(c->timer_fd, &n, sizeof n); /* ECANCELED: the clock was set */
        got = read(c->wake_fd, &n, sizeof n);
        (void)got;
    } else {
        struct pollfd fd = {.fd = stop_fd, .events = POLLIN};
        if (poll(&fd, 1, 0) > 0) {
            return false;
        }
    }
    int64_t woken = host->wall_us(); /* one reading: the watchdog knows a jump by its moment */
    look_for_jump(c, woken);
    if (ready && wait > 0 && due != INT64_MAX) {
        watchdog(c, woken, due, now);
    }
    return true;
}

static tn_rc run(void *inst, int32_t stop_fd, tn_err *err)
{
    struct cron *c = inst;
    (void)err;
    c->apart_us = host->wall_us() - (int64_t)(host->now_ns() / 1000);
    for (bool ready = true; sleep_until(c, stop_fd, ready);) {
        ready = deliver(c);
    }
    return TN_OK;
}

/* ---- status ---------------------------------------------------------------------------------- */
/* Upper bound of the slot in which this share of all lies. */
static int64_t quantile(const struct cron *c, double part)
{
    uint64_t all = 0, sum = 0;
    for (int i = 0; i < CRON_SLOTS; i++) {
        all += c->lateness[i];
    }
    for (int i = 0; i < CRON_SLOTS; i++) {
        sum += c->lateness[i];
        if (all > 0 && (double)sum >= part * (double)all) {
            return 64ll << i;
        }
    }
    return 0;
}

static tn_rc schedule_status(void *inst, char *ret, size_t cap, tn_err *err)
{
    struct cron *c = inst;
    pthread_mutex_lock(&c->lock);
    const struct wheel *w = &c->wheel;
    int64_t due = wheel_due(w);
    int n = snprintf(ret, cap,
                     "{\"schedules\":%zu,\"active\":%zu,\"nextDueTimeMs\":%" PRId64
                     ",\"ran\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"late\":%" PRIu64
                     ",\"missed\":%" PRIu64 ",\"clockJumps\":%" PRIu64 ",\"lastJumpMs\":%" PRId64
                     ",\"overslept\":%" PRIu64 ",\"pausedUntilMs\":%" PRId64
                     ",\"errorP50Us\":%" PRId64 ",\"errorP99Us\":%" PRId64
                     ",\"errorMaxUs\":%" PRId64 "}",
                     w->count, w->n, due == INT64_MAX ? 0 : due / 1000, w->by_outcome[TN_OCCUR_RUN],
                     w->by_outcome[TN_OCCUR_SKIP], w->by_outcome[TN_OCCUR_LATE],
                     w->by_outcome[TN_OCCUR_MISSED], c->jumps, c->last_jump_us / 1000, c->overslept,
                     w->pause_until_us / 1000, quantile(c, 0.5), quantile(c, 0.99), c->latest_us);
    pthread_mutex_unlock(&c->lock);
    return n > 0 && (size_t)n < cap ? TN_OK
                                    : host->fail(err, TN_E_LIMIT, "no room for the status of cron");
}

/* ---- life ------------------------------------------------------------------------------------ */
static tn_rc load(const tn_host *h, tn_err *err)
{
    if (h->schedules == NULL) {
        return h->fail(err, TN_E_UNSUPP, "this process keeps no schedules");
    }
    host = h;
    return TN_OK;
}

static void detach(void *inst)
{
    struct cron *c = inst;
    if (!c->open) {
        return;
    }
    wheel_finish(&c->wheel);
    zones_finish(&c->zones);
    pthread_mutex_destroy(&c->lock);
    free(c->batch);
    close(c->timer_fd);
    close(c->wake_fd);
    c->open = false;
}

static tn_rc attach(void *inst, const void *conf, tn_err *err)
{
    struct cron *c = inst;
    const struct cron_conf *cc = conf;
    c->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->batch = calloc(1, sizeof *c->batch);
    c->open = true;
    pthread_mutex_init(&c->lock, NULL);
    wheel_init(&c->wheel, cc->late_after.ms * 1000, host->wall_us());
    zones_init(&c->zones, "/usr/share/zoneinfo");
    if (c->timer_fd < 0 || c->wake_fd < 0 || c->batch == NULL) {
        detach(inst);
        return host->fail(err, TN_E_NOMEM, "no descriptors or memory for the cron trigger");
    }
    return TN_OK;
}

static const tn_trigger_ops ops = {
    .size = sizeof ops,
    .run = run,
    .schedule_put = schedule_put,
    .schedule_drop = schedule_drop,
    .schedule_check = schedule_check,
    .schedule_next = schedule_next,
    .schedule_pause = schedule_pause,
    .schedule_status = schedule_status,
};

TN_PLUGIN(.kind = TN_KIND_TRIGGER, .flags = TN_P_THREAD_SAFE, .name = "cron", .version = "0.1.0",
          .summary = "Schedules by cron expressions in any time zone", .caps = TN_CAP_SCHEDULE,
          .config = fields, .conf_size = sizeof(struct cron_conf), .inst_size = sizeof(struct cron),
          .load = load, .attach = attach, .detach = detach, .ops = &ops)
