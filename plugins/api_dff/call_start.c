/* SPDX-License-Identifier: Apache-2.0 */
/* Start of the call path, the current snapshot, and where uploads go. */
#include "debug_live.h"
#include "form.h"
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CACHE_BYTES   ((size_t)64 << 20)
#define CACHE_ENTRIES 2000

/* Readers are the loop thread only; writers hold the lock from reading the store to publishing, so that
 * an older picture never replaces a newer one. */
static struct snapshot *_Atomic current;
static pthread_mutex_t reload_lock = PTHREAD_MUTEX_INITIALIZER;

const struct snapshot *calls_snapshot(void)
{
    return atomic_load_explicit(&current, memory_order_acquire);
}

struct retired {
    struct snapshot *old, *now;
};

/* Loop thread, between two requests: nobody looks at the old snapshot any more. `now` may have been
 * replaced meanwhile, but it is retired behind this one. */
static void snapshot_retire(void *user)
{
    struct retired *r = user;
    snapshot_carry(r->now, r->old);
    snapshot_free(r->old);
    free(r);
}

tn_rc snapshot_reload(tn_err *err)
{
    struct retired *r = malloc(sizeof *r);
    if (r == NULL) {
        return api.host->fail(err, TN_E_NOMEM, "no memory for a snapshot of the sync APIs");
    }
    pthread_mutex_lock(&reload_lock);
    tn_rc rc = snapshot_load(api.host, &r->now, err);
    if (rc == TN_OK) {
        rc = gates_bind(r->now, atomic_load(&current), err);
        if (rc != TN_OK) {
            snapshot_free(r->now);
        }
    }
    if (rc == TN_OK) {
        r->old = atomic_exchange_explicit(&current, r->now, memory_order_acq_rel);
        api.host->loop->post(api.host->ctx, snapshot_retire, r);
    }
    pthread_mutex_unlock(&reload_lock);
    if (rc != TN_OK) {
        free(r);
    }
    return rc;
}

static const char *uploads_name(void)
{
    return api_setting("UPLOAD_TEMP_ROOT_FOLDER", ".uploads");
}

/* Scripts use these folders too. When the platform runs as root and workers as another user, the resource
 * folder belongs to that one, and so do the folders in it; what we put there gets its group. */
static int share(const char *folder)
{
    struct stat root;
    if (fstat(calls.resources_fd, &root) < 0 || root.st_uid == geteuid()) {
        return 0;
    }
    if (fchownat(calls.resources_fd, folder, root.st_uid, root.st_gid, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == EPERM ? 0 : -1; /* it belongs to somebody else on purpose, or is theirs */
    }
    return fchmodat(calls.resources_fd, folder, 02770, 0);
}

tn_rc call_start(tn_err *err)
{
    struct call_scratch *x = &calls.scratch;
    const char *root = api_setting("RESOURCE_ROOT_PATH", "/data/resources");
    if (mkdir(root, 0755) < 0 && errno != EEXIST) {
        return api.host->fail(err, TN_E_CONFIG, "resource folder %s cannot be made (errno %d)",
                              root, errno);
    }
    calls.resources = realpath(root, NULL); /* scripts get absolute paths, wherever they run */
    if (calls.resources == NULL) {
        return api.host->fail(err, TN_E_CONFIG, "resource folder %s cannot be found (errno %d)",
                              root, errno);
    }
    calls.resources_fd = open(calls.resources, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (calls.resources_fd < 0) {
        return api.host->fail(err, TN_E_CONFIG, "resource folder %s cannot be opened (errno %d)",
                              calls.resources, errno);
    }
    const char *const folders[] = {uploads_name(),
                                   api_setting("DOWNLOAD_TEMP_ROOT_FOLDER", ".downloads")};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if ((mkdirat(calls.resources_fd, folders[i], 0755) < 0 && errno != EEXIST) ||
            share(folders[i]) < 0) {
            return api.host->fail(err, TN_E_CONFIG, "folder %s/%s cannot be made (errno %d)",
                                  calls.resources, folders[i], errno);
        }
    }
    calls.cache = cache_create(CACHE_BYTES, CACHE_ENTRIES);
    x->members = calloc(SCRATCH_MEMBERS, sizeof *x->members); /* touched as far as it is used */
    x->pairs = calloc(FORM_FIELDS_MAX, sizeof *x->pairs);
    calls.late.members = calloc(SCRATCH_MEMBERS, sizeof *x->members);
    calls.late.pairs = calloc(FORM_FIELDS_MAX, sizeof *x->pairs);
    if (calls.cache == NULL || x->members == NULL || x->pairs == NULL ||
        calls.late.members == NULL || calls.late.pairs == NULL) {
        return api.host->fail(err, TN_E_NOMEM, "no memory for the call path");
    }
    return TN_OK;
}

static void scratch_free(struct call_scratch *x)
{
    struct str *texts[] = {&x->decoded, &x->query, &x->body, &x->kwargs,
                           &x->merged,  &x->http,  &x->vars};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        str_free(texts[i]);
    }
    free(x->members);
    free(x->pairs);
}

void call_stop(void)
{
    debug_live_stop();
    scratch_free(&calls.scratch);
    scratch_free(&calls.late);
    for (struct call *c = calls.free, *next; c != NULL; c = next) {
        next = c->next;
        str_free(&c->record);
        free(c);
    }
    cache_destroy(calls.cache);
    free(calls.resources);
    if (calls.resources_fd >= 0) {
        close(calls.resources_fd);
    }
    snapshot_free(atomic_exchange(&current, NULL));
    calls = (struct calls){.resources_fd = -1};
}

/* Files of a call lie under .uploads until the cleaner sees that their stamp has passed (spec 2.2). */
void call_plan(void *inst, const tn_http_req *req, const tn_match *match, tn_http_plan *plan)
{
    static char folder[512], stamp[24];
    static int64_t second;
    (void)inst;
    tn_str type = tn_http_header(req, "content-type");
    if ((match->route->flags & TN_ROUTE_MULTIPART) == 0 || type.n < 10 ||
        strncasecmp(type.s, "multipart/", 10) != 0) {
        plan->flags &= ~TN_PLAN_MULTIPART;
        return;
    }
    int64_t now = api.host->wall_us() / 1000000;
    if (now != second) {
        time_t until = (time_t)(now + api_setting_int("_UPLOAD_FILE_EXPIRES", 3600));
        struct tm tm;
        gmtime_r(&until, &tm);
        strftime(stamp, sizeof stamp, "%Y%m%d%H%M%S", &tm);
        snprintf(folder, sizeof folder, "%s/%s", calls.resources, uploads_name());
        second = now;
    }
    plan->upload_dir = folder;
    plan->upload_stamp = stamp;
}
