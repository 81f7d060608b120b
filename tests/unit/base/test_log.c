/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: form, level, escaping, masking, threads. */
#include "unit.h"

#include "kernel/base/clock.h"
#include "kernel/base/log.h"
#include "kernel/base/log_mask.h"
#include "kernel/base/str.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int64_t fixed_wall(void)
{
    return 1767225600123456; /* 2026-01-01T00:00:00.123Z */
}

static char text[1 << 21];

/* What was logged since the last call. */
static const char *logged(FILE *f)
{
    static long from;
    fseek(f, 0, SEEK_END);
    long end = ftell(f);
    from = end < from ? 0 : from;
    fseek(f, from, SEEK_SET);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    from = end;
    return text;
}

static int setup(void **state)
{
    FILE *f = tmpfile();
    *state = f;
    log_open("unit", TN_LOG_INFO, fileno(f));
    clock_inject(NULL, fixed_wall);
    return f == NULL;
}

static int teardown(void **state)
{
    clock_inject(NULL, NULL);
    return fclose(*state);
}

static void line_form(void **state)
{
    char want[128];
    snprintf(want, sizeof want, "2026-01-01T00:00:00.123Z ERROR unit[%ld] a 1\n", (long)getpid());
    errno = 77;
    log_error("a %d", 1);
    assert_int_equal(errno, 77);
    assert_string_equal(logged(*state), want);
    log_debug("not shown");
    assert_string_equal(logged(*state), "");
    log_level(TN_LOG_DEBUG);
    log_debug("shown");
    assert_non_null(strstr(logged(*state), "DEBUG unit["));
    log_level(TN_LOG_INFO);
}

static void lines_cannot_be_forged(void **state)
{
    log_info("%s", "x\n2026-01-01T00:00:00.000Z ALERT hub[1] forged\r\t\x1b[2J\x7f\xc2\x9b"
                   "2J\xff");
    const char *line = logged(*state);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_non_null(strstr(line, "x\\n2026-"));
    assert_non_null(strstr(line, "forged\\r\\t\\x1b[2J\\x7f\\u009b2J\\xff\n"));
    log_info("text with end\n"); /* one trailing newline is no content */
    assert_non_null(strstr(logged(*state), "] text with end\n"));
}

static void secrets_are_masked(void **state)
{
    log_info("nothing registered: geheim/\"1");
    assert_non_null(strstr(logged(*state), "geheim"));
    assert_false(log_mask_any());
    log_mask(TN_STR("geheim/\"1"));
    log_mask(TN_STR("geheim/\"1 and longer"));
    log_mask(TN_STR("short")); /* five bytes: ignored */
    assert_true(log_mask_any());
    static const char *const hidden[] = {
        "geheim/\"1",       "geheim/\\\"1", "geheim%2F%221",
        "geheim%2f%221",    "Z2VoZWltLyIx", /* base64 at offset 0 */
        "dTpnZWhlaW0vIjE=",                 /* "u:geheim/"1", as in an Authorization header */
        "dXU6Z2VoZWltLyIx",                 /* "uu:..." */
    };
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        log_info("<%s>", hidden[i]);
        const char *line = logged(*state);
        assert_non_null(strstr(line, "*****"));
        assert_null(strstr(line, "eheim"));
        assert_null(strstr(line, "ZWhlaW0v"));
        assert_null(strstr(line, "Z2VoZWlt"));
    }
    log_mask(TN_STR("prefix-and-more")); /* the longer one first, and the other way round */
    log_mask(TN_STR("prefix-and"));
    log_info("prefix-and-more|prefix-andx");
    assert_non_null(strstr(logged(*state), "] *****|*****x\n"));
    log_info("geheim/\"1 and longer|short");
    assert_non_null(strstr(logged(*state), "] *****|short\n")); /* the longest one wins */
    log_mask(TN_STR("two\nlines")); /* masked before control characters are escaped */
    log_info("a two\nlines z");
    assert_non_null(strstr(logged(*state), "] a ***** z\n"));
    struct buf out = BUF_INIT(0);
    assert_false(log_mask_apply(TN_STR("harmless"), &out));
    assert_int_equal(out.len, 0);
    assert_true(log_mask_apply(TN_STR("geheim/\"1geheim/\"1"), &out));
    assert_string_equal(out.data, "**********");
    log_mask(
        TN_STR("clé \xF0\x9F\x94\x91 d'or")); /* as JSON writers with nothing but ASCII have it */
    buf_clear(&out);
    assert_true(log_mask_apply(TN_STR("{\"k\": \"cl\\u00e9 \\ud83d\\udd11 d'or\"}"), &out));
    assert_string_equal(out.data, "{\"k\": \"*****\"}");
    buf_finish(&out);
}

static void lines_as_json(void **state)
{
    char want[256];
    log_form("json", NULL);
    log_warn("a \"quoted\" text\nof two lines and \xff");
    log_warn("%s", "\"quoted\"\n中");
    log_form("text", NULL);
    snprintf(
        want, sizeof want,
        "{\"time\":\"2026-01-01T00:00:00.123Z\",\"level\":\"WARNING\",\"area\":\"unit\",\"pid\":%ld,"
        "\"message\":\"a \\\"quoted\\\" text\\\\nof two lines and \\\\xff\"}\n",
        (long)getpid());
    const char *lines = logged(*state);
    assert_memory_equal(lines, want, strlen(want));
    assert_non_null(strstr(lines + strlen(want), "\"message\":\"\\\"quoted\\\"\\n中\"}\n"));
}

/* The native protocol: text with a length, so that no message can make a field of its own. */
static void lines_for_the_journal(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char got[4096];
    snprintf(a.sun_path, sizeof a.sun_path, "%s/tn-journal-%ld",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (long)getpid());
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    log_form("journal", a.sun_path);
    log_error("two\nPRIORITY=7");
    ssize_t n = recv(fd, got, sizeof got - 1, MSG_DONTWAIT);
    assert_true(n > 0);
    static const char head[] = "MESSAGE\n\x0e\0\0\0\0\0\0\0two\nPRIORITY=7\nPRIORITY=3\n";
    assert_memory_equal(got, head, sizeof head - 1);
    got[n] = '\0';
    assert_non_null(strstr(got + sizeof head - 1, "\nTENON_AREA=unit\n"));
    assert_string_equal(logged(*state), "");
    close(fd);
    unlink(a.sun_path);
    log_error("nobody listens"); /* then the line is written */
    assert_non_null(strstr(logged(*state), "ERROR unit["));
    log_form("journal", "/nonexistent");
    log_error("nor there");
    assert_non_null(strstr(logged(*state), "] nor there\n"));
    char stream[64];
    struct stat st;
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    log_form("auto", a.sun_path);
    log_error("found");
    assert_true(recv(fd, got, sizeof got, MSG_DONTWAIT) > 0);
    setenv("JOURNAL_STREAM", "1:1", 1);
    log_form("auto", a.sun_path);
    log_error("elsewhere");
    assert_true(recv(fd, got, sizeof got, MSG_DONTWAIT) < 0);
    unsetenv("JOURNAL_STREAM");
    log_form("text", NULL);
    close(fd);
    unlink(a.sun_path);
    logged(*state);
}

static void long_lines_are_cut(void **state)
{
    char *big = malloc(200001);
    memset(big, 'b', 200000);
    memcpy(big + 65530, "hidden-secret", 13); /* across the cut */
    big[200000] = '\0';
    log_mask(TN_STR("hidden-secret"));
    log_info("%s", big);
    const char *line = logged(*state);
    assert_true(strlen(line) < 66000);
    assert_null(strstr(line, "hidden"));
    assert_non_null(strstr(line, "more bytes)\n"));
    free(big);
}

static void *many_lines(void *arg)
{
    for (int i = 0; i < 500; i++) {
        log_info("thread %s writes a line that must stay whole", (const char *)arg);
        char secret[32];
        snprintf(secret, sizeof secret, "secret-%s-%d", (const char *)arg, i);
        log_mask(str_of(secret));
    }
    return NULL;
}

static void threads_do_not_mix(void **state)
{
    pthread_t threads[4];
    char names[4][4] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, many_lines, names[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    char *line = (char *)(uintptr_t)logged(*state);
    int n = 0;
    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1, n++) {
        *end = '\0';
        assert_true(strncmp(line, "2026-", 5) == 0);
        assert_non_null(strstr(line, "must stay whole"));
    }
    assert_int_equal(n, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_form),          cmocka_unit_test(lines_cannot_be_forged),
        cmocka_unit_test(lines_as_json),      cmocka_unit_test(lines_for_the_journal),
        cmocka_unit_test(secrets_are_masked), cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
