/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins that break the contract are reported by name with the reason, and nothing else happens: the
 * others load, start-up goes on, no process or descriptor is left. */
#include "tests/unit/base/unit.h"

#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/proc.h"
#include "kernel/base/str.h"
#include "kernel/plug/plug.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char here[PATH_MAX]; /* folder of this program */
static char scratch[] = "/tmp/unit-XXXXXX";

/* file in hostile/ → what its report must say; NULL: it must be usable */
static const struct {
    const char *file, *says;
} cases[] = {
    {"no_entry", "no symbol tn_plugin_v1"},
    {"other_major_entry", "it exports tn_plugin_v2, expected tn_plugin_v1"},
    {"null_entry", "tn_plugin_v1() returned NULL"},
    {"entry_crashes", "crashes with signal 11 (Segmentation fault) in tn_plugin_v1()"},
    {"wrong_magic", "magic is 0x464c457f, expected 0x31304e54"},
    {"future_major", "abi_major is 2, this kernel has 1"},
    {"future_minor", NULL},
    {"size_zero", "size is 0, expected 96 to"},
    {"size_huge", "size is 2147483647, expected 96 to"},
    {"size_short", "size is 88, expected 96 to"},
    {"kind_zero", "kind is 0, this kernel knows 1 to 5"},
    {"kind_99", "kind is 99, this kernel knows 1 to 5"},
    {"bad_name", "name is \"../evil\", expected [a-z]"},
    {"long_name", "name is \"a23456789012345678901234567890123\", expected"},
    {"null_name", "name is \"(null)\", expected"},
    {"no_version", "version is \"\", expected"},
    {"two_line_summary", "expected one line of 1 to 200 characters"},
    {"no_ops", "ops is NULL, expected a tn_connector_ops"},
    {"ops_size_zero", "ops.size is 0, expected 80"},
    {"ops_size_huge", "ops.size is 2147483648, expected 80"},
    {"ops_short", "ops.invoke is missing (ops.size is 48)"},
    {"missing_op", "ops.invoke is missing (ops.size is 80); connector plugins need it"},
    {"no_methods", "ops.methods is missing"},
    {"cancel_lie", "caps has TN_CAP_CANCEL but ops.cancel is missing"},
    {"bad_default", "config: the default of n: \"ten\" is not a whole number"},
    {"default_out_of_range", "config: the default of n: \"10\" is outside 0 to 9"},
    {"field_outside", "config: n is at offset 0 with 8 bytes, conf_size is 4"},
    {"conf_huge", "conf_size is 65537, at most 65536"},
    {"inst_huge", "inst_size is 4294967295, at most 16777216"},
    {"wild_config", "crashes with signal 11 (Segmentation fault) while its tables were read"},
    {"same_method_id", "methods m (id 1) and n (id 1) collide"},
    {"endless_methods", "methods has more than 4096 rows"},
    {"ctor_aborts", "crashes with signal 6 (Aborted) while being opened"},
    {"ctor_crashes", "crashes with signal 11 (Segmentation fault) while being opened"},
    {"ctor_exits", "ends the process with status 0 while being opened"},
    {"ctor_hangs",
     "hangs while being opened (a damaged file, or a constructor in it or in a library "
     "it needs): stopped after 5 s"},
    {"ctor_floods", "bytes to its probe"},
    {"ctor_lies", "its probe gave a senseless answer"},
    {"ctor_prints", NULL},
    {"ctor_forks", NULL},
    {"undefined_symbol", "cannot be opened: undefined symbol: this_function_exists_nowhere"},
    {"load_fails", NULL},
    {"twin_a", NULL},
    {"twin_b", "connector \"twin\" is already provided by "},
};
#define NCASES (sizeof cases / sizeof cases[0])

static const struct plug_report *report_of(const struct plug_registry *r, const char *file)
{
    char tail[64];
    snprintf(tail, sizeof tail, "/%s.so", file);
    for (size_t i = 0; i < r->nreports; i++) {
        size_t n = strlen(r->reports[i].path), m = strlen(tail);
        if (n >= m && strcmp(r->reports[i].path + n - m, tail) == 0) {
            return &r->reports[i];
        }
    }
    return NULL;
}

static void assert_says(const struct plug_report *report, const char *file, const char *says)
{
    if (report == NULL) {
        fail_msg("%s.so was not reported", file);
    } else if ((says == NULL) != (report->problem == NULL) ||
               (says != NULL && strstr(report->problem, says) == NULL)) {
        fail_msg("%s.so: expected %s, got %s", file, says != NULL ? says : "no problem",
                 report->problem != NULL ? report->problem : "no problem");
    }
}

/* We are the subreaper: whatever a probe left behind is our child now, and must be dead. */
static void nothing_is_left(void)
{
    uint64_t end = clock_mono_ns() + 5 * NS_PER_S;
    while (waitpid(-1, NULL, WNOHANG) >= 0) {
        assert_true(clock_mono_ns() < end);
        usleep(1000);
    }
    assert_int_equal(errno, ECHILD);
}

static void hostile_plugins_are_named(void **state)
{
    (void)state;
    struct plug_registry r = {0};
    tn_err err = TN_ERR_INIT;
    char folder[PATH_MAX + 16];
    int fds = fd_count();
    snprintf(folder, sizeof folder, "%s/hostile", here);
    uint64_t start = clock_mono_ns();
    assert_int_equal(plug_discover(&r, folder, &err), TN_OK);
    assert_true(clock_mono_ns() - start <
                30 * NS_PER_S); /* one hangs for 5 s; nothing adds to it */
    for (size_t i = 0; i < NCASES; i++) {
        assert_says(report_of(&r, cases[i].file), cases[i].file, cases[i].says);
    }
    assert_int_equal(r.nreports, NCASES); /* a new case in hostile.c needs its line here */
    assert_int_equal(fd_count(), fds);
    nothing_is_left();

    /* What the library of a plugin wants to find in the environment: set, but nothing is replaced, and nothing is the linker's. */
    assert_string_equal(getenv("TENON_TEST_WANTED"), "1");
    assert_string_equal(getenv("TENON_TEST_LAST"), "a=b");
    assert_null(getenv("LD_TENON_TEST"));
    assert_null(getenv("tenon_test"));
    assert_string_not_equal(getenv("PATH"), "/nowhere");

    /* The message for twins names both files. */
    const struct plug_report *twin = report_of(&r, "twin_b");
    assert_non_null(strstr(twin->problem, "twin_a.so"));

    /* What is usable opens, and what the future appended is cut off. */
    assert_int_equal(plug_open_all(&r, 1u << TN_KIND_CONNECTOR, &err), TN_OK);
    assert_int_equal(r.n, 5);
    const struct plug *future = plug_find(&r, TN_KIND_CONNECTOR, "from_the_future");
    assert_non_null(future);
    assert_int_equal(future->desc.abi_minor, 999);
    assert_int_equal(((const tn_connector_ops *)future->ops)->size, sizeof(tn_connector_ops));
    assert_non_null(plug_find(&r, TN_KIND_CONNECTOR, "twin"));
    assert_null(plug_find(&r, TN_KIND_CONNECTOR, "victim"));
    assert_null(plug_find(&r, TN_KIND_AUTH, "twin"));
    plug_registry_finish(&r);
    assert_int_equal(proc_kill_strays(NULL, 0),
                     1); /* what "breeder" has forked from this process */
}

static tn_rc host_fail(tn_err *err, tn_rc rc, const char *fmt, ...)
{
    (void)fmt;
    return err_set(err, rc, "the library says no");
}

static void failing_load(void **state)
{
    (void)state;
    static const tn_host host = {.size = sizeof host, .fail = host_fail};
    struct plug_registry r = {0};
    tn_err err = TN_ERR_INIT;
    char cmd[PATH_MAX * 2];
    snprintf(cmd, sizeof cmd, "cp %s/hostile/load_fails.so %s/", here, scratch);
    assert_int_equal(system(cmd), 0);
    assert_int_equal(plug_discover(&r, scratch, &err), TN_OK);
    assert_int_equal(plug_open_all(&r, ~0u, &err), TN_OK);
    struct plug *p = plug_find(&r, TN_KIND_CONNECTOR, "unloadable");
    assert_non_null(p);
    assert_int_equal(plug_load(p, &host, &err), TN_E_UNAVAIL);
    assert_non_null(strstr(err.msg, "connector unloadable ("));
    assert_non_null(strstr(err.msg, "load_fails.so) does not load: the library says no"));
    assert_int_equal(p->loaded, 0);
    plug_registry_finish(&r);
}

/* Files that are no shared objects at all, and folders that are none. */
static void not_even_plugins(void **state)
{
    (void)state;
    struct plug_registry r = {0};
    tn_err err = TN_ERR_INIT;
    char cmd[PATH_MAX * 6], folders[PATH_MAX * 2];
    snprintf(
        cmd, sizeof cmd,
        "cd %s && rm -f *.so && echo hello > text.so && head -c 3000 %s/frozen-1.0.so > cut.so && "
        ": > empty.so && mkdir folder.so && mkfifo fifo.so && ln -s nowhere dangling.so && "
        "ln -s %s/frozen-1.0.so one.so && ln -s %s/frozen-1.0.so two.so && touch ignored.txt && "
        "echo x > closed.so && chmod 0 closed.so",
        scratch, here, here, here);
    assert_int_equal(system(cmd), 0);
    snprintf(folders, sizeof folders, "%s::/nonexistent:%s", scratch, scratch);
    assert_int_equal(plug_discover(&r, folders, &err), TN_OK);
    assert_says(report_of(&r, "text"), "text", "cannot be opened: ");
    assert_says(report_of(&r, "cut"), "cut", "opened"); /* refused by ld.so, or SIGBUS in it */
    assert_says(report_of(&r, "empty"), "empty", "cannot be opened: file too short");
    assert_says(report_of(&r, "closed"), "closed", "cannot be opened: ");
    assert_says(report_of(&r, "folder"), "folder", "is not a regular file");
    assert_says(report_of(&r, "fifo"), "fifo", "is not a regular file");
    assert_says(report_of(&r, "dangling"), "dangling", "No such file or directory");
    assert_says(report_of(&r, "one"), "one", NULL); /* the same file three times is one plugin */
    assert_null(report_of(&r, "two"));
    assert_null(report_of(&r, "ignored"));
    int folder_reported = 0;
    for (size_t i = 0; i < r.nreports; i++) {
        folder_reported += strcmp(r.reports[i].path, "/nonexistent") == 0 &&
                           strstr(r.reports[i].problem, "cannot be listed") != NULL;
    }
    assert_int_equal(folder_reported, 1);
    struct buf out = BUF_INIT(0);
    plug_print(&r, 0, &out);
    assert_non_null(strstr(out.data, "connector  frozen           1.0.0     Built from"));
    assert_non_null(strstr(out.data, "Not used:\n"));
    buf_clear(&out);
    plug_print(&r, 1, &out);
    json_t *all = json_loadb(out.data, out.len, 0, NULL), *one;
    size_t i, usable = 0;
    assert_int_equal(json_array_size(all), r.nreports);
    json_array_foreach(all, i, one)
    {
        bool good = json_object_get(one, "problem") == NULL;
        assert_non_null(json_object_get(one, "file"));
        assert_int_equal(json_object_get(one, "config") != NULL, good);
        assert_int_equal(json_array_size(json_object_get(one, "methods")), good);
        usable += good;
    }
    assert_int_equal(usable, 1);
    json_decref(all);
    buf_finish(&out);
    plug_registry_finish(&r);
}

static void no_folders(void **state)
{
    (void)state;
    struct plug_registry r = {0};
    assert_int_equal(plug_discover(&r, NULL, NULL), TN_OK);
    assert_int_equal(plug_discover(&r, "", NULL), TN_OK);
    assert_int_equal(r.nreports, 0);
    plug_registry_finish(&r);
    plug_registry_finish(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_plugins_are_named),
        cmocka_unit_test(failing_load),
        cmocka_unit_test(not_even_plugins),
        cmocka_unit_test(no_folders),
    };
    ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);
    if (n <= 0 || mkdtemp(scratch) == NULL || proc_subreaper() < 0) {
        return 1;
    }
    here[n] = '\0';
    *strrchr(here, '/') = '\0';
    int failed = RUN(tests);
    char cmd[64];
    snprintf(cmd, sizeof cmd, "rm -r %s", scratch);
    return system(cmd) != 0 || failed != 0;
}
