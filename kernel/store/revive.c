/* SPDX-License-Identifier: Apache-2.0 */
/* Writing again after a sync to disk failed. The kernel may have dropped the pages that it could not
 * write and reports that once, so nobody may go on as if nothing had happened.
 *
 * What was acknowledged is safe: its frames were synced, and the log keeps them until a checkpoint's own
 * sync has succeeded. In doubt is only the commit whose sync failed. Its frames lie behind the end of the
 * log that this process knows; a new commit is written over them, and with them goes the doubt. So the
 * connection stays open (a new one would read the log from the disk, and might find that commit), and the
 * proof that writing works is a commit: of a row that nobody needs. Only when the process is killed
 * before that, the commit in doubt may turn out to have happened. */
#include "kernel/base/clock.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"

#include <stdio.h>

#define PAUSE_NS NS_PER_S

static tn_rc prove(struct lease *l, tn_err *err)
{
    char now[32];
    snprintf(now, sizeof now, "%lld", (long long)clock_wall_us());
    const tn_val v[2] = {
        {.type = TN_T_STR, .n = (uint32_t)str_of(now).n, .u.s = now},
        {.type = TN_T_STR, .n = sizeof "written-again" - 1, .u.s = "written-again"}};
    int64_t n = 0;
    tn_rc rc = lease_begin(l, err);
    rc = rc ? rc
            : lease_exec(l, TN_STR("UPDATE tn_meta SET value = ? WHERE name = ?"), v, 2, &n, err);
    if (rc == TN_OK && n == 0) {
        rc = lease_exec(l, TN_STR("INSERT INTO tn_meta (value, name) VALUES (?, ?)"), v, 2, &n,
                        err);
    }
    rc = rc ? rc : lease_commit(l, err);
    if (rc) {
        lease_rollback(l);
    }
    return rc;
}

int store_revive(struct store *s)
{
    struct lease l;
    tn_err err = TN_ERR_INIT;
    uint64_t now = clock_mono_ns();
    pthread_mutex_lock(&s->lock);
    int lost = s->lost[0] != '\0', try = lost && now >= s->revive_ns;
    if (try) {
        s->revive_ns = now + PAUSE_NS;
    }
    pthread_mutex_unlock(&s->lock);
    if (!try) {
        return !lost;
    }
    tn_rc rc = lease_take_lost(s, &l, &err);
    if (rc == TN_OK) {
        rc = prove(&l, &err);
        lease_give(&l);
    }
    if (rc == TN_OK) {
        pthread_mutex_lock(&s->lock);
        s->lost[0] = '\0';
        pthread_mutex_unlock(&s->lock);
        log_at(TN_LOG_NOTICE, "store: the disk takes syncs again; writing goes on");
    }
    return rc == TN_OK;
}
