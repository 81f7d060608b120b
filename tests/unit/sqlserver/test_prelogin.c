/* SPDX-License-Identifier: Apache-2.0 */
/* What a server says of encryption before the sign-in: a table of answers, every beginning of them, every byte of them. */
#include "tests/unit/base/unit.h"

#include "sqlserver/prelogin.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BYTES(...) {__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__})
#define VERSION    0, 0, 11, 0, 6
#define PLACE      1, 0, 17, 0, 1, 0xff, 16, 0, 16, 0, 0, 0

static const struct {
    unsigned char options[32];
    size_t n;
    enum ss_prelogin wanted;
} answers[] = {
    {BYTES(VERSION, PLACE, 0), SS_HAS_TLS},
    {BYTES(VERSION, PLACE, 1), SS_HAS_TLS},
    {BYTES(VERSION, PLACE, 3), SS_HAS_TLS},
    {BYTES(VERSION, PLACE, 2), SS_NO_TLS},
    {BYTES(VERSION, PLACE, 7), SS_NO_ANSWER},
    {BYTES(VERSION, PLACE), SS_NO_ANSWER},                    /* behind the end */
    {BYTES(VERSION, 0xff, 16, 0, 16, 0, 0, 0), SS_NO_ANSWER}, /* nothing of encryption */
    {BYTES(1, 0xff, 0xff, 0, 1, 0xff), SS_NO_ANSWER},
    {BYTES(1, 0, 6, 0, 0, 0xff, 2), SS_NO_ANSWER}, /* of no byte */
    {BYTES(1, 0, 6), SS_NO_ANSWER},
    {BYTES('H', 'T', 'T', 'P', '/'), SS_NO_ANSWER},
};

static enum ss_prelogin read_exact(const unsigned char *p, size_t n)
{
    unsigned char *exact = malloc(n != 0 ? n : 1); /* so that a sanitizer sees a byte too many */
    assert_non_null(exact);
    memcpy(exact, p, n);
    enum ss_prelogin got = ss_prelogin_read(exact, n);
    free(exact);
    return got;
}

static void test_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        assert_int_equal(read_exact(answers[i].options, answers[i].n), answers[i].wanted);
        for (size_t n = 0; n < answers[i].n; n++) {
            assert_int_equal(read_exact(answers[i].options, n), SS_NO_ANSWER);
        }
    }
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* What a server sends at once; `open`: then it stays silent, otherwise it goes. */
static enum ss_prelogin ask(const unsigned char *packet, size_t n, int open)
{
    static const tn_host host = {.now_ns = now};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(send(fds[1], packet, n, 0), n);
    if (!open) {
        shutdown(fds[1], SHUT_WR);
    }
    enum ss_prelogin got = ss_prelogin_ask(&host, fds[0], now() + 50000000);
    unsigned char asked[64];
    ssize_t k = recv(fds[1], asked, sizeof asked, MSG_DONTWAIT);
    assert_true(k == 26 && asked[0] == 0x12 && asked[3] == k); /* a whole packet, as it says */
    assert_int_equal(ss_prelogin_read(asked + 8, (size_t)k - 8), SS_HAS_TLS);
    close(fds[0]);
    close(fds[1]);
    return got;
}

static void test_ask(void **state)
{
    (void)state;
    static const unsigned char good[] = {4, 1, 0, 26, 0, 0, 1, 0, VERSION, PLACE, 2};
    unsigned char bad[sizeof good];
    assert_int_equal(ask(good, sizeof good, 1), SS_NO_TLS);
    assert_int_equal(ask(good, sizeof good, 0), SS_NO_TLS);
    for (size_t n = 1; n < sizeof good; n += 5) {
        assert_int_equal(ask(good, n, 1), SS_NO_ANSWER);
        assert_int_equal(ask(good, n, 0), SS_NO_ANSWER);
    }
    for (size_t i = 0; i < 4; i++) { /* another type; longer, shorter than there is */
        memcpy(bad, good, sizeof good);
        bad[i] = i == 3 ? 7 : 0xff;
        assert_true(i == 1 || ask(bad, sizeof bad, 0) == SS_NO_ANSWER);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
