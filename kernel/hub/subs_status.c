/* SPDX-License-Identifier: Apache-2.0 */
/* What is told about the subscriptions of a connector. */
#include "kernel/base/buf.h"
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/hub/subs_int.h"

static const char *const states[] = {
    [SUB_CONNECTING] = "connecting", [SUB_CONSUMING] = "consuming", [SUB_FAILED] = "failed"};

/* (u->lock) Messages of the slots that make up the last minute, the one that goes on included. */
static uint64_t last_minute(const tn_sub *u)
{
    uint64_t now = clock_mono_ns() / SUB_SLOT_NS, n = 0;
    for (int i = 0; i < SUB_SLOTS; i++) {
        n += now - u->slots[i].slot < SUB_MINUTE ? u->slots[i].n : 0;
    }
    return n;
}

static void text_or_null(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, ",\"%s\":", name);
    if (text[0] != '\0') {
        buf_quote(out, str_of(text));
    } else {
        buf_adds(out, "null");
    }
}

static void write_one(tn_sub *u, struct buf *out)
{
    buf_adds(out, "{\"topic\":");
    buf_quote(out, str_of(u->topic));
    text_or_null(out, "funcId", u->func);
    pthread_mutex_lock(&u->lock);
    buf_printf(out, ",\"state\":\"%s\"", states[u->state]);
    text_or_null(out, "error", u->error);
    text_or_null(out, "held", u->held);
    buf_printf(out,
               ",\"sinceMs\":%lld,\"lastMinuteCount\":%llu,\"received\":%llu,\"accepted\":%llu,"
               "\"dropped\":%llu,\"replaced\":%llu,\"waiting\":%u,\"lag\":",
               (long long)u->since_ms, (unsigned long long)last_minute(u),
               (unsigned long long)u->received, (unsigned long long)u->accepted,
               (unsigned long long)u->dropped, (unsigned long long)u->replaced,
               u->nwaiting + u->nunder_way);
    if (u->lag >= 0) {
        buf_printf(out, "%lld}", (long long)u->lag);
    } else {
        buf_adds(out, "null}");
    }
    pthread_mutex_unlock(&u->lock);
}

void subs_lag(struct subs *s, tn_sub *u, int64_t messages)
{
    (void)s;
    pthread_mutex_lock(&u->lock);
    u->lag = messages;
    pthread_mutex_unlock(&u->lock);
}

tn_rc subs_status(struct subs *s, tn_str connector, struct buf *ret, tn_err *err)
{
    bool any = false;
    buf_addc(ret, '[');
    pthread_mutex_lock(&s->lock);
    list_for_each(it, &s->all) {
        tn_sub *u = list_entry(it, tn_sub, link);
        if (!u->stopping && str_is(connector, u->connector)) {
            if (any) {
                buf_addc(ret, ',');
            }
            any = true;
            write_one(u, ret);
        }
    }
    pthread_mutex_unlock(&s->lock);
    buf_addc(ret, ']');
    return ret->failed ? err_set(err, TN_E_NOMEM, "no memory for the status") : TN_OK;
}
