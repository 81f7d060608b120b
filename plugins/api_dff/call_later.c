/* SPDX-License-Identifier: Apache-2.0 */
/* Calls with eta or delay: they wait outside the broker, then start like any other (spec 2.6). */
#include "call_run.h"

struct call_later {
    tn_call_req req; /* its texts point into `text` */
    tn_timer *timer;
    bool too_late; /* the start lies behind what a client may wait */
    struct str text;
};

static void later_free(struct call_later *l)
{
    api.host->loop->timer_free(api.host->ctx, l->timer);
    str_free(&l->text);
    free(l);
}

void call_later_cancel(struct call *c)
{
    if (c->later != NULL) {
        later_free(c->later);
        c->later = NULL;
    }
}

static void later_due(void *user)
{
    struct call *c = user;
    struct call_later *l = c->later;
    c->later = NULL;
    if (l->too_late) {
        struct call_refusal why = {0};
        call_refuse(&why, EWorkerNoResponse, NULL,
                    "Worker no response: the call starts later than its caller may wait");
        respond_refusal(c, &why);
        call_refusal_finish(&why);
    } else {
        call_hand_over(c, &l->req);
    }
    later_free(l);
}

void call_later_submit(struct call *c, const tn_call_req *r, const struct call_opts *o)
{
    tn_err err = TN_ERR_INIT;
    int64_t wait_us = o->eta_us != 0 ? o->eta_us - api.host->wall_us()
                                     : (int64_t)o->delay_s * 1000000;
    int64_t most_us = ((int64_t)r->timeout_ms + r->expires_ms) * 1000;
    struct call_later *l = calloc(1, sizeof *l);
    if (l == NULL) {
        respond_failed(c, "Out of memory");
        return;
    }
    l->req = *r;
    tn_str *texts[] = {&l->req.script, &l->req.func, &l->req.origin, &l->req.origin_id,
                       &l->req.args,   &l->req.http, &l->req.vars,   &l->req.code};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        str_text(&l->text, *texts[i]);
    }
    tn_rc rc = l->text.failed ? TN_E_NOMEM
                              : api.host->loop->timer(api.host->ctx, later_due, c, &l->timer, &err);
    if (rc != TN_OK) {
        str_free(&l->text);
        free(l);
        respond_failed(c, "Out of memory");
        return;
    }
    const char *p = l->text.s;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i]->s != NULL) {
            texts[i]->s = p;
        }
        p += texts[i]->n;
    }
    if (wait_us < 0) {
        wait_us = 0;
    }
    l->too_late = wait_us > most_us;
    c->later = l;
    api.host->loop->timer_set(api.host->ctx, l->timer,
                              api.host->now_ns() + 1 +
                                  (uint64_t)(l->too_late ? most_us : wait_us) * 1000);
}
