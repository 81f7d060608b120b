/* SPDX-License-Identifier: Apache-2.0 */
/* Routes for who looks for a fault (spec 1.12): the log file, queues, records. */
#include "rows.h"
#include "watch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PULL_BYTES (100 * 1024)

/* Whole lines from `position` on, at most PULL_BYTES; without a position the end of the file. */
static json_t *pull(const char *path, int64_t position, tn_err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0) {
            close(fd);
        }
        api.host->fail(err, TN_E_NOTFOUND, "there is no log file to read (setting log_file)");
        return NULL;
    }
    /* A file that is shorter than the position has been replaced meanwhile. */
    if (position < 0 || position > st.st_size) {
        position = position < 0 && st.st_size > PULL_BYTES ? st.st_size - PULL_BYTES : 0;
    }
    char *buf = malloc(PULL_BYTES);
    ssize_t n = buf != NULL ? pread(fd, buf, PULL_BYTES, position) : 0;
    close(fd);
    json_t *lines = json_array();
    size_t at = 0;
    for (char *eol;
         n > 0 && at < (size_t)n && (eol = memchr(buf + at, '\n', (size_t)n - at)) != NULL;) {
        size_t len = (size_t)(eol - (buf + at));
        json_t *line = json_stringn(buf + at, len);
        json_array_append_new(lines,
                              line != NULL ? line : json_string("(a line that is no UTF-8)"));
        at += len + 1;
    }
    free(buf);
    return json_pack("{s:I, s:o}", "nextPosition", (json_int_t)(position + (int64_t)at), "logs",
                     lines);
}

static void logs_pull(struct api_req *r)
{
    tn_err err = TN_ERR_INIT;
    const json_t *at = json_object_get(r->query, "position");
    json_t *v = pull(api_setting("LOG_FILE_PATH", ""),
                     json_is_integer(at) ? json_integer_value(at) : -1, &err);
    if (v != NULL) {
        api_ok(r, v);
    } else {
        api_fail_err(r, &err);
    }
}

static void records_clear(struct api_req *r)
{
    static const char *const entities[] = {"taskRecord", "taskRecordFunc", "abnormalRequest"};
    tn_filter all = {.column = "seq", .op = TN_OP_GT, .value = TN_STR("0")};
    tn_err err = TN_ERR_INIT;
    tn_rc rc = api.host->records->flush(api.host->ctx, &err);
    for (size_t i = 0; i < sizeof entities / sizeof *entities && rc == TN_OK && !r->dry_run; i++) {
        rc = api.host->entities->remove(api.host->ctx, NULL, entities[i], &all, 1, NULL, &err);
    }
    if (rc != TN_OK) {
        api_fail_err(r, &err);
    } else {
        api_ok(r, NULL);
    }
}

static const struct field pull_query[] = {{.name = "position", .type = F_INT}, {.name = NULL}};
const struct api_route debug_routes[] = {
    {"GET", "/api/v1/debug/system-logs/do/pull", "general_r", "Reads on in the platform's log file",
     logs_pull, pull_query, NULL, NULL, 0},
    {"POST", "/api/v1/debug/log-cache-tables/do/clear", "general_w",
     "Removes records of tasks and abnormal requests", records_clear, NULL, NULL, NULL, 0},
    {.method = NULL}};
