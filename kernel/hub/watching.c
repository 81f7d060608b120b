/* SPDX-License-Identifier: Apache-2.0 */
/* What others watch (host->metrics): all figures as one JSON object, and whether the platform is well. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/hub/hub.h"
#include "kernel/hub/metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static long long resident_bytes(void)
{
    long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f != NULL) {
        if (fscanf(f, "%*d %lld", &pages) != 1) {
            pages = 0;
        }
        fclose(f);
    }
    return pages * sysconf(_SC_PAGESIZE);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d != NULL && readdir(d) != NULL) {
        n++;
    }
    if (d != NULL) {
        closedir(d);
    }
    return n > 3 ? n - 3 : 0; /* without ".", ".." and the folder's own */
}

static void write_process(struct hub *h, struct buf *out)
{
    struct rusage ru;
    struct rlimit fds = {0};
    getrusage(RUSAGE_SELF, &ru);
    getrlimit(RLIMIT_NOFILE, &fds);
    double cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
                 (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
    buf_printf(out,
               "{\"pid\":%d,\"startTimeMs\":%lld,\"cpuSeconds\":%.3f,\"residentBytes\":%lld,"
               "\"openFds\":%u,\"maxFds\":%llu}",
               (int)getpid(), (long long)(h->start_us / 1000), cpu, resident_bytes(),
               open_descriptors(), (unsigned long long)fds.rlim_cur);
}

static void write_files(struct hub *h, struct buf *out)
{
    static const char *const names[] = {"config.db",      "config.db-wal", "records.db",
                                        "records.db-wal", "jobs.db",       "jobs.db-wal"};
    const char *before = "{";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[4200];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", h->settings.data, names[i]);
        if (stat(path, &st) == 0) {
            buf_printf(out, "%s\"%s\":%lld", before, names[i], (long long)st.st_size);
            before = ",";
        }
    }
    buf_adds(out, before[0] == '{' ? "{}" : "}");
}

static tn_rc met_read(void *ctx, tn_text *ret, tn_err *err)
{
    struct hub *h = host_hub(ctx);
    struct buf out = BUF_INIT(0);
    tn_text status = {NULL, 0};
    tn_rc rc = services_calls_ops.status(ctx, &status, err);
    if (rc != TN_OK) {
        return rc;
    }
    buf_printf(&out,
               "{\"ready\":%s,\"platform\":", h->listening && !h->draining ? "true" : "false");
    buf_add(&out, status.s, status.n);
    free(status.s);
    buf_adds(&out, ",\"functions\":");
    metrics_write(h->metrics, &out);
    buf_adds(&out, ",\"records\":");
    records_status(h, &out);
    buf_adds(&out, ",\"pools\":");
    pools_watch_write(h, &out);
    buf_adds(&out, ",\"files\":");
    write_files(h, &out);
    buf_adds(&out, ",\"process\":");
    write_process(h, &out);
    buf_addc(&out, '}');
    ret->s = buf_take(&out, &ret->n);
    return ret->s != NULL ? TN_OK : err_set(err, TN_E_NOMEM, "no memory for the figures");
}

static tn_rc met_health(void *ctx, tn_text *ret, tn_err *err)
{
    struct hub *h = host_hub(ctx);
    struct buf out = BUF_INIT(0);
    tn_err why = TN_ERR_INIT;
    const char *down = h->draining                               ? "draining"
                       : !h->listening                           ? "starting"
                       : !broker_alive(h->broker)                ? "workers"
                       : store_writable(h->store, &why) != TN_OK ? "store"
                                                                 : NULL;
    buf_printf(&out, "{\"live\":true,\"ready\":%s,\"reason\":", down == NULL ? "true" : "false");
    if (down != NULL) {
        buf_quote(&out, str_of(down));
    } else {
        buf_adds(&out, "null");
    }
    buf_printf(&out, ",\"checks\":{\"store\":%s,\"workers\":%s}}",
               why.rc == TN_OK ? "true" : "false", broker_alive(h->broker) ? "true" : "false");
    ret->s = buf_take(&out, &ret->n);
    return ret->s == NULL ? err_set(err, TN_E_NOMEM, "no memory for the answer")
           : down == NULL ? TN_OK
                          : TN_E_UNAVAIL;
}

const tn_host_metrics metrics_ops = {
    .size = sizeof metrics_ops, .read = met_read, .health = met_health};
