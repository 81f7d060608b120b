/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's state as JSON, for status pages and for tests that look for leaks. */
#include "kernel/base/str.h"
#include "kernel/hub/broker_int.h"

static const char *const state_names[LINK_STATES] = {"starting", "spare",   "idle",
                                                     "busy",     "leaving", "dead"};
static const char *const status_names[TN_CALL_STATUSES] = {
    "success", "failure", "timeout", "expired", "skipped", "crashed", "overload", "canceled"};

static void put_worker(struct buf *out, const struct link *l, int first)
{
    buf_printf(out, "%s{\"pid\":%d,\"group\":", first ? "" : ",", (int)l->pid);
    buf_quote(out, str_of(l->group ? l->group->conf.name : ""));
    buf_printf(out, ",\"state\":\"%s\",\"calls\":%llu,\"running\":%u,\"slow\":%s,\"old\":%s}",
               state_names[l->state], (unsigned long long)l->calls, l->nsent,
               l->slow ? "true" : "false", l->old ? "true" : "false");
}

int broker_alive(const struct broker *b)
{
    for (unsigned i = 0; i < b->ngroups; i++) {
        if (b->groups[i].nworkers > b->groups[i].nstarting) {
            return 1;
        }
    }
    return b->nspares > 0;
}

void broker_isolation(const struct broker *b, struct buf *out)
{
    buf_addstr(out, b->jail.len ? buf_str(&b->jail) : TN_STR("null"));
}

void broker_status(struct broker *b, struct buf *out)
{
    unsigned nlinks = 0;
    buf_adds(out, "{\"groups\":[");
    for (unsigned i = 0; i < b->ngroups; i++) {
        const struct group *g = &b->groups[i];
        buf_printf(out, "%s{\"name\":", i ? "," : "");
        buf_quote(out, str_of(g->conf.name));
        buf_printf(out,
                   ",\"queued\":%u,\"workers\":%u,\"idle\":%u,\"busy\":%u,\"starting\":%u,"
                   "\"workersMin\":%u,\"workersMax\":%u}",
                   g->npending, g->nworkers, g->nidle, g->nbusy, g->nstarting, g->conf.workers_min,
                   g->conf.workers_max);
    }
    buf_adds(out, "],\"workers\":[");
    list_for_each(it, &b->links) {
        put_worker(out, list_entry(it, struct link, all), nlinks++ == 0);
    }
    buf_adds(out, "],\"totals\":{");
    for (unsigned i = 0; i < TN_CALL_STATUSES; i++) {
        buf_printf(out, "%s\"%s\":%llu", i ? "," : "", status_names[i],
                   (unsigned long long)b->totals[i]);
    }
    buf_printf(
        out,
        "},\"calls\":{\"inUse\":%u,\"queued\":%u,\"claimed\":%u},\"links\":%u,\"oldLinks\":%u,"
        "\"spares\":%u,\"zygote\":%s,\"generation\":%llu,\"forks\":%llu,\"kills\":%llu,"
        "\"crashes\":%llu,\"revokes\":%llu,\"requeues\":%llu,\"grows\":%llu,\"bells\":%llu}",
        b->ncalls, b->nqueued, b->nclaimed, nlinks, b->nold, b->nspares,
        b->zygote >= 0 ? "true" : "false", (unsigned long long)b->generation,
        (unsigned long long)b->forks, (unsigned long long)b->kills, (unsigned long long)b->crashes,
        (unsigned long long)b->revokes, (unsigned long long)b->requeues,
        (unsigned long long)b->grows, (unsigned long long)b->bells);
}
