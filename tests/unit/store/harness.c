/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a folder of its own, over the real connector, for the tests of this folder. */
#include "harness.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/plug/plug_int.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void die(const char *what, const tn_err *err)
{
    fprintf(stderr, "harness: %s: %s\n", what, err ? err->msg : "");
    exit(1);
}

/* <build>/plugins beside <build>/tests/unit/store/<program>. */
static void plugin_path(char *path, size_t n)
{
    char exe[PATH_MAX];
    const char *given = getenv("TENON_TEST_PLUGINS");
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[len > 0 ? len : 0] = '\0';
    for (int up = 0; !given && up < 4; up++) {
        char *slash = strrchr(exe, '/');
        if (slash) {
            *slash = '\0';
        }
    }
    snprintf(path, n, given ? "%s/connector_sqlite.so" : "%s/plugins/connector_sqlite.so",
             given ? given : exe);
}

tn_rc harness_try_open(struct harness *h, tn_err *err)
{
    char path[PATH_MAX + 64];
    struct conf c;
    struct conf_problems problems;
    memset(&problems, 0, sizeof problems);
    conf_init(&c);
    if (!h->plug) {
        plugin_path(path, sizeof path);
        tn_rc rc = plug_open_file(path, NULL, NULL, &h->plug, err);
        if (rc) {
            die(path, err);
        }
    }
    snprintf(path, sizeof path, "%s/config.db", h->dir);
    conf_set(&c, "store.path", path, "test");
    conf_set(&c, "store.allow_attach", "true", "test");
    conf_set(&c, "store.busy_timeout", "300ms", "test"); /* tests wait for it */
    tn_rc rc = plug_attach(h->plug, &c, "store.", &h->inst, &problems, err);
    if (rc) {
        die(problems.text.data ? problems.text.data : "attach", err);
    }
    buf_finish(&problems.text);
    conf_finish(&c);
    rc = store_open(&h->inst, h->dir, 3, &h->store, err);
    if (rc) {
        plug_detach(&h->inst);
        h->store = NULL;
    }
    return rc;
}

void harness_open(struct harness *h, const char *dir)
{
    tn_err err = TN_ERR_INIT;
    const char *tmp = getenv("TMPDIR");
    memset(h, 0, sizeof *h);
    log_open("test", 0, -1); /* what goes wrong here is meant to */
    if (dir) {
        snprintf(h->dir, sizeof h->dir, "%s", dir);
    } else {
        snprintf(h->dir, sizeof h->dir, "%s/tenon-store-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(h->dir)) {
            die(h->dir, NULL);
        }
    }
    if (harness_try_open(h, &err) != TN_OK) {
        die("store_open", &err);
    }
}

void harness_close_store(struct harness *h)
{
    if (h->store) {
        store_close(h->store);
        plug_detach(&h->inst);
        h->store = NULL;
    }
}

void harness_reopen(struct harness *h)
{
    tn_err err = TN_ERR_INIT;
    harness_close_store(h);
    if (harness_try_open(h, &err) != TN_OK) {
        die("store_open again", &err);
    }
}

void harness_close(struct harness *h)
{
    char command[256];
    harness_close_store(h);
    snprintf(command, sizeof command, "rm -rf '%s'", h->dir);
    if (system(command) != 0) {
        die(command, NULL);
    }
    if (h->plug) { /* its code stays mapped; only the description goes */
        free(h->plug->path);
        free((void *)(uintptr_t)h->plug->ops);
        free(h->plug);
        h->plug = NULL;
    }
}

const char *harness_sql(struct harness *h, const char *sql, const char *params)
{
    static char text[1 << 16];
    struct buf rows = BUF_INIT(sizeof text - 1);
    tn_err err = TN_ERR_INIT;
    int64_t n;
    if (store_sql(h->store, NULL, sql, str_of(params), &rows, &n, &err) != TN_OK) {
        die(sql, &err);
    }
    snprintf(text, sizeof text, "%s", rows.data);
    buf_finish(&rows);
    return text;
}

#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }
#define COL(n, t, ...)                                                                             \
    {                                                                                              \
        .name = n, .type = TN_COL_##t, __VA_ARGS__                                                 \
    }
static const tn_column shelf[] = {
    COL("id", STR, .max_len = 64, .flags = TN_COL_NOT_NULL),
    COL("room", STR, .max_len = 16),
    COL("open", BOOL, .flags = TN_COL_NOT_NULL, .dflt = "1"),
    COL("tagsJSON", JSON, .max_len = 0),
    END,
};
static const tn_column book[] = {
    COL("id", STR, .max_len = 64, .flags = TN_COL_NOT_NULL),
    COL("shelfId", STR, .max_len = 64, .flags = TN_COL_INDEX),
    COL("title", STR, .max_len = 20, .flags = TN_COL_NOT_NULL),
    COL("isbn", STR, .max_len = 20, .flags = TN_COL_UNIQUE),
    COL("price", INT, .max_len = 0),
    COL("secret", TEXT, .flags = TN_COL_HIDDEN),
    END,
};
static const tn_column all[] = {
    COL("id", STR, .max_len = 64, .flags = TN_COL_NOT_NULL),
    COL("s", STR, .max_len = 10),
    COL("t", TEXT, .max_len = 0),
    COL("j", JSON, .max_len = 0),
    COL("jn", JSON, .flags = TN_COL_NOT_NULL, .dflt = "'null'"),
    COL("i", INT, .max_len = 0),
    COL("b", BOOL, .flags = TN_COL_NOT_NULL, .dflt = "0"),
    COL("w", TIME, .max_len = 0),
    COL("l", LIST, .max_len = 30),
    COL("d", STR, .max_len = 64, .flags = TN_COL_NOT_NULL, .dflt = "'UNKNOWN'"),
    END,
};
static const char *const shelf_shown[] = {"id", "room", "open", "tagsJSON", "createTime", NULL};
static const tn_join book_joins[] = {
    {"shelf", "shlf", "book.shelfId", "id", "shlf_", shelf_shown},
    {.entity = NULL},
};
static const char *const all_uniques[] = {"s,i", NULL};
const tn_entity test_entities[] = {
    {.name = "shelf",
     .alias = "shlf",
     .table = "t_shelf",
     .id_prefix = "shlf-",
     .columns = shelf,
     .order = "shlf.seq DESC"},
    {.name = "book",
     .alias = "book",
     .table = "t_book",
     .id_prefix = "book-",
     .columns = book,
     .joins = book_joins,
     .order = "book.title, book.seq DESC"},
    {.name = "all",
     .alias = "a",
     .table = "t_all",
     .id_prefix = "all-",
     .id_random = 16,
     .columns = all,
     .uniques = all_uniques},
    {.name = NULL},
};
