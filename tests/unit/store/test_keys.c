/* SPDX-License-Identifier: Apache-2.0 */
/* The key ring: sealing is bound to place and key, files and passwords are handled strictly. */
#include "harness.h"
#include "kernel/base/clock.h"
#include "kernel/base/fd.h"
#include "kernel/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <time.h>

static struct harness h;
static struct keys *k;
static char path[256];

static int setup(void **state)
{
    tn_err err = TN_ERR_INIT;
    (void)state;
    harness_open(&h, NULL);
    snprintf(path, sizeof path, "%s/master.key", h.dir);
    if (keys_open(h.dir, h.store, &k, &err) != TN_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    keys_close(k);
    k = NULL;
    harness_close(&h);
    return 0;
}

static void seals_and_opens(void **state)
{
    const tn_str texts[] = {TN_STR(""), TN_STR("x"), TN_STR("p\0q"),
                            TN_STR("a longer secret of some words")};
    const tn_str aad = TN_STR("t|c|id");
    tn_err err = TN_ERR_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf a = BUF_INIT(0), b = BUF_INIT(0), plain = BUF_INIT(0);
        assert_int_equal(keys_seal(k, texts[i], aad, &a, &err), TN_OK);
        assert_int_equal(keys_seal(k, texts[i], aad, &b, &err), TN_OK);
        assert_memory_equal(a.data, "tn1:", 4);
        assert_string_not_equal(a.data, b.data); /* a new nonce each time */
        buf_adds(&plain, "<");
        assert_int_equal(keys_unseal(k, buf_str(&a), aad, &plain, &err), TN_OK);
        assert_int_equal(plain.len, texts[i].n + 1);
        assert_memory_equal(plain.data + 1, texts[i].s, texts[i].n);
        /* Another place, or no place. */
        assert_int_equal(keys_unseal(k, buf_str(&a), TN_STR("t|c|ie"), &plain, &err), TN_E_DENIED);
        assert_int_equal(keys_unseal(k, buf_str(&a), TN_STR(""), &plain, &err), TN_E_DENIED);
        assert_int_equal(plain.len, texts[i].n + 1);
        buf_finish(&a);
        buf_finish(&b);
        buf_finish(&plain);
    }
}

/* Any change of any character is noticed. */
static void notices_every_change(void **state)
{
    struct buf a = BUF_INIT(0), plain = BUF_INIT(0);
    tn_err err = TN_ERR_INIT;
    (void)state;
    assert_int_equal(keys_seal(k, TN_STR("secret"), TN_STR("aad"), &a, &err), TN_OK);
    for (size_t i = 0; i < a.len; i++) {
        char was = a.data[i];
        a.data[i] = was == 'A' ? 'B' : 'A';
        tn_rc rc = keys_unseal(k, buf_str(&a), TN_STR("aad"), &plain, &err);
        assert_true(rc == TN_E_DENIED || rc == TN_E_INVAL);
        a.data[i] = was;
        rc = keys_unseal(k, (tn_str){a.data, i}, TN_STR("aad"), &plain, &err);
        assert_true(rc == TN_E_DENIED || rc == TN_E_INVAL);
    }
    assert_int_equal(plain.len, 0);
    assert_int_equal(keys_unseal(k, buf_str(&a), TN_STR("aad"), &plain, &err), TN_OK);
    buf_finish(&a);
    buf_finish(&plain);
}

static void derives_by_purpose(void **state)
{
    uint8_t a[32], b[32], c[32];
    (void)state;
    keys_derive(k, "jwt", a);
    keys_derive(k, "jwt", b);
    keys_derive(k, "cookie", c);
    assert_memory_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
}

static tn_rc reopen(tn_err *err)
{
    struct keys *again = NULL;
    tn_rc rc = keys_open(h.dir, h.store, &again, err);
    keys_close(again);
    return rc;
}

static void the_file_is_checked(void **state)
{
    tn_err err = TN_ERR_INIT;
    struct stat st;
    char *was, other[64], aside[300];
    size_t n;
    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 32);
    assert_int_equal(fd_read_file(path, 64, &was, &n), 0);
    assert_int_equal(reopen(&err), TN_OK);

    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(reopen(&err), TN_E_CONFIG);
    assert_non_null(strstr(err.msg, "chmod 600"));
    assert_int_equal(chmod(path, 0600), 0);

    for (size_t size = 0; size <= 64; size++) {
        memset(other, 'x', sizeof other);
        assert_int_equal(fd_write_file(path, other, size, 0600), 0);
        assert_int_equal(reopen(&err), TN_E_CONFIG); /* wrong size, or the wrong key */
    }
    assert_int_equal(fd_write_file(path, other, 32, 0600), 0);
    assert_int_equal(reopen(&err), TN_E_CONFIG);
    assert_non_null(strstr(err.msg, "not the key of this database"));

    snprintf(aside, sizeof aside, "%s.aside", path);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink(aside, path), 0);
    assert_int_not_equal(reopen(&err), TN_OK);
    unlink(path);
    assert_int_equal(reopen(&err), TN_E_CONFIG); /* missing: no silent new key */
    assert_non_null(strstr(err.msg, "missing"));
    assert_int_equal(access(path, F_OK), -1);

    assert_int_equal(fd_write_file(path, was, n, 0600), 0);
    assert_int_equal(reopen(&err), TN_OK);
    free(was);
}

/* A child of fork() does not have the key. */
static void the_key_does_not_survive_a_fork(void **state)
{
    struct buf a = BUF_INIT(0), plain = BUF_INIT(0);
    int status = -1;
    (void)state;
    assert_int_equal(keys_seal(k, TN_STR("secret"), TN_STR(""), &a, NULL), TN_OK);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(keys_unseal(k, buf_str(&a), TN_STR(""), &plain, NULL) == TN_OK ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    buf_finish(&a);
}

static void passwords(void **state)
{
    struct buf phc = BUF_INIT(0), phc2 = BUF_INIT(0);
    tn_err err = TN_ERR_INIT;
    char longest[1025];
    (void)state;
    memset(longest, 'p', sizeof longest);
    assert_int_equal(keys_password_hash(k, TN_STR("s3cret"), &phc, &err), TN_OK);
    assert_int_equal(keys_password_hash(k, TN_STR("s3cret"), &phc2, &err), TN_OK);
    assert_memory_equal(phc.data, "$argon2id$v=19$m=19456,t=2,p=1$", 31);
    assert_string_not_equal(phc.data, phc2.data);
    assert_int_equal(keys_password_verify(k, TN_STR("s3cret"), buf_str(&phc), &err), TN_OK);
    assert_int_equal(keys_password_verify(k, TN_STR("s3cret "), buf_str(&phc), &err), TN_E_DENIED);
    assert_int_equal(keys_password_verify(k, TN_STR(""), buf_str(&phc), &err), TN_E_DENIED);
    assert_int_equal(keys_password_verify(k, TN_STR("s3cret"), (tn_str){NULL, 0}, &err),
                     TN_E_DENIED);
    assert_int_equal(keys_password_verify(k, TN_STR("s3cret"), TN_STR("plain"), &err), TN_E_DENIED);
    /* A hash that asks for a gigabyte is not computed. */
    assert_int_equal(keys_password_verify(
                         k, TN_STR("s3cret"),
                         TN_STR("$argon2id$v=19$m=999999,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaA"), &err),
                     TN_E_DENIED);
    assert_int_equal(keys_password_hash(k, TN_STR(""), &phc, &err), TN_E_INVAL);
    assert_int_equal(keys_password_hash(k, (tn_str){longest, 1025}, &phc, &err), TN_E_INVAL);
    buf_clear(&phc);
    assert_int_equal(keys_password_hash(k, (tn_str){longest, 1024}, &phc, &err), TN_OK);
    assert_int_equal(keys_password_verify(k, (tn_str){longest, 1024}, buf_str(&phc), &err), TN_OK);
    assert_int_equal(keys_password_verify(k, (tn_str){longest, 1023}, buf_str(&phc), &err),
                     TN_E_DENIED);
    assert_int_equal(keys_password_verify(k, (tn_str){longest, 1025}, buf_str(&phc), &err),
                     TN_E_DENIED);
    buf_clear(&phc);
    assert_int_equal(keys_password_hash(k, TN_STR("x"), &phc, &err), TN_OK);
    assert_int_equal(keys_password_verify(k, TN_STR("x"), buf_str(&phc), &err), TN_OK);
    buf_finish(&phc);
    buf_finish(&phc2);
}

/* CPU time of this thread: a busy machine does not change it. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t verify_ns(tn_str password, tn_str phc)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        uint64_t t = cpu_ns();
        keys_password_verify(k, password, phc, NULL);
        t = cpu_ns() - t;
        best = t < best ? t : best;
    }
    return best;
}

/* As ratios in one run: nobody learns from the time whether there is such a user. */
static void an_unknown_user_takes_as_long(void **state)
{
    struct buf phc = BUF_INIT(0);
    (void)state;
    assert_int_equal(keys_password_hash(k, TN_STR("s3cret"), &phc, NULL), TN_OK);
    uint64_t known = verify_ns(TN_STR("wrong"), buf_str(&phc));
    uint64_t unknown = verify_ns(TN_STR("wrong"), (tn_str){NULL, 0});
    uint64_t empty = verify_ns(TN_STR(""), buf_str(&phc));
    assert_true(unknown * 2 > known && known * 2 > unknown);
    assert_true(empty * 2 > known && known * 2 > empty);
    buf_finish(&phc);
}

static void *hash_one(void *user)
{
    struct buf phc = BUF_INIT(0);
    (void)user;
    tn_rc rc = keys_password_hash(k, TN_STR("x"), &phc, NULL);
    buf_finish(&phc);
    return rc ? (void *)1 : NULL;
}

static void many_hashes_at_once(void **state)
{
    pthread_t t[8];
    (void)state;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, hash_one, NULL), 0);
    }
    for (int i = 0; i < 8; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        assert_null(bad);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(seals_and_opens),
        TEST(notices_every_change),
        TEST(derives_by_purpose),
        TEST(the_file_is_checked),
        TEST(the_key_does_not_survive_a_fork),
        TEST(passwords),
        TEST(an_unknown_user_takes_as_long),
        TEST(many_hashes_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
