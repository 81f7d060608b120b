/* SPDX-License-Identifier: Apache-2.0 */
/* The rings of a worker's page: order, wrapping, hostile contents, sleeping and waking. */
#include "kernel/ipc/ring.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
/* after the above */
#include <cmocka.h>

static struct ipc_page *page;
static int fd;

static int setup(void **state)
{
    (void)state;
    fd = ipc_page_create(&page);
    return fd < 0;
}

static int teardown(void **state)
{
    (void)state;
    ipc_page_unmap(page);
    close(fd);
    return 0;
}

static int put(struct ipc_ring *r, uint64_t *tail, uint32_t size, uint64_t seq)
{
    unsigned char *p = ipc_ring_reserve(r, tail, size);
    if (!p) {
        return 0;
    }
    struct ipc_frame f = {.size = size, .type = IPC_CALL, .seq = seq};
    memset(p, (int)(seq & 0xff), size);
    memcpy(p, &f, sizeof(f));
    ipc_ring_publish(r, *tail);
    return 1;
}

static void test_page(void **state)
{
    struct ipc_page *other = NULL;
    (void)state;
    assert_int_equal(ipc_page_map(fd, &other), 0);
    atomic_store(&page->claim, 7);
    assert_int_equal(atomic_load(&other->claim), 7);
    ipc_page_unmap(other);
    assert_int_equal(ftruncate(fd, 1), -1); /* the other side cannot take the memory away */
    assert_int_equal(errno, EPERM);
    page->magic = 1;
    assert_int_equal(ipc_page_map(fd, &other), -1);
    assert_int_equal(errno, EPROTO);
    int small = memfd_create("small", MFD_CLOEXEC);
    assert_int_equal(ipc_page_map(small, &other), -1);
    assert_int_equal(errno, EINVAL);
    close(small);
    ipc_page_unmap(NULL);
}

static void test_order_and_wrapping(void **state)
{
    static _Alignas(16) unsigned char out[IPC_FRAME_MAX];
    struct ipc_ring *r = &page->calls;
    uint64_t tail = 0, head = 0, sent = 0, got = 0;
    (void)state;
    srand(1);
    while (got < 100000) {
        uint32_t size = (uint32_t)(16 + 8 * (rand() % (rand() % 50 ? 100 : 8000)));
        while (rand() % 3 && put(r, &tail, size, sent + 1)) {
            sent++;
            size = (uint32_t)(16 + 8 * (rand() % 100));
        }
        int64_t n;
        while (rand() % 4 && (n = ipc_ring_take(r, &head, out, sizeof(out))) != 0) {
            struct ipc_frame f;
            assert_true(n >= 16);
            memcpy(&f, out, sizeof(f));
            assert_int_equal(f.seq, ++got);
            assert_int_equal(f.size, n);
            for (int64_t i = 16; i < n; i++) {
                assert_int_equal(out[i], got & 0xff);
            }
        }
    }
    assert_true(tail > 3ull * IPC_RING_SIZE);
}

static void test_full(void **state)
{
    static _Alignas(16) unsigned char out[IPC_FRAME_MAX];
    uint64_t tail = 0, head = 0;
    unsigned n = 0;
    (void)state;
    while (put(&page->calls, &tail, 1024, n + 1)) {
        n++;
    }
    assert_int_equal(n, IPC_RING_SIZE / 1024);
    assert_int_equal(ipc_ring_take(&page->calls, &head, out, sizeof(out)), 1024);
    assert_true(put(&page->calls, &tail, 1024, n + 1));
    assert_false(put(&page->calls, &tail, 16, n + 2));
    /* sizes that no frame has */
    assert_null(ipc_ring_reserve(&page->replies, &head, 0));
    assert_null(ipc_ring_reserve(&page->replies, &head, 15));
    assert_null(ipc_ring_reserve(&page->replies, &head, 20));
    assert_null(ipc_ring_reserve(&page->replies, &head, IPC_RING_SIZE));
}

/* What a worker can write into the ring that the hub reads. */
static void test_hostile_producer(void **state)
{
    static const struct {
        uint32_t size;
        uint16_t type;
        uint64_t tail;
    } bad[] = {
        {0, 1, 16},
        {8, 1, 16},
        {17, 1, 64},
        {24, 1, 16},
        {0xfffffff8, 1, 64},
        {16, 1, 20},
        {16, 0, 64},
        {8, 0, 16},
        {64, 1, IPC_RING_SIZE + 8},
        {16, 1, UINT64_MAX - 7},
        {IPC_FRAME_MAX + 8, 1, IPC_RING_SIZE},
    };
    static _Alignas(16) unsigned char out[IPC_FRAME_MAX];
    struct ipc_ring *r = &page->replies;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct ipc_frame f = {.size = bad[i].size, .type = bad[i].type};
        uint64_t head = 0;
        memcpy(r->data, &f, sizeof(f));
        atomic_store(&r->tail, bad[i].tail);
        assert_int_equal(ipc_ring_take(r, &head, out, sizeof(out)), -1);
    }
}

/* A lying consumer makes the ring look full, or loses what it did not read; never more. */
static void test_hostile_consumer(void **state)
{
    uint64_t tail = 64;
    (void)state;
    atomic_store(&page->calls.head, 1000); /* ahead of us */
    assert_null(ipc_ring_reserve(&page->calls, &tail, 16));
    tail = 3ull * IPC_RING_SIZE;
    atomic_store(&page->calls.head, 0); /* far behind */
    assert_null(ipc_ring_reserve(&page->calls, &tail, 16));
    atomic_store(&page->calls.head, tail - 24);
    unsigned char *p = ipc_ring_reserve(&page->calls, &tail, 64);
    assert_true(p >= page->calls.data && p + 64 <= page->calls.data + IPC_RING_SIZE);
}

/* ---- lost wake-ups: the protocol of both sleeps, over and over ------------------------------------------ */

enum { MESSAGES = 300000 };
static int bell;

static void *produce(void *arg)
{
    uint64_t tail = 0;
    (void)arg;
    for (uint64_t i = 1; i <= MESSAGES;) {
        if (!put(&page->replies, &tail, 16, i)) {
            sched_yield();
            continue;
        }
        i++;
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load_explicit(&page->hub_sleeps, memory_order_relaxed) &&
            atomic_exchange(&page->hub_sleeps, 0)) {
            uint64_t one = 1;
            assert_int_equal(write(bell, &one, sizeof(one)), 8);
        }
        for (volatile int k = rand() % 200; k > 0; k--) {}
    }
    return NULL;
}

static void test_no_lost_wakeup(void **state)
{
    static _Alignas(16) unsigned char out[64];
    uint64_t head = 0, got = 0, sleeps = 0, v;
    pthread_t t;
    (void)state;
    bell = eventfd(0, EFD_CLOEXEC);
    alarm(60); /* a lost wake-up hangs */
    assert_int_equal(pthread_create(&t, NULL, produce, NULL), 0);
    while (got < MESSAGES) {
        while (ipc_ring_take(&page->replies, &head, out, sizeof(out)) > 0) {
            got++;
        }
        atomic_store_explicit(&page->hub_sleeps, 1, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst);
        if (got < MESSAGES && atomic_load(&page->replies.tail) == head) {
            sleeps++;
            assert_int_equal(read(bell, &v, sizeof(v)), 8);
        }
        atomic_store_explicit(&page->hub_sleeps, 0, memory_order_relaxed);
    }
    pthread_join(t, NULL);
    alarm(0);
    close(bell);
    assert_true(sleeps > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_and_wrapping, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_producer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_consumer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_lost_wakeup, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
