/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness from getrandom(2) through a small pool per thread.
 *
 * A forked child must not repeat its parent's numbers, and scripts may fork in any way they like. So
 * pools carry an epoch, and the current epoch lives in a page that the kernel zeroes in every child
 * (MADV_WIPEONFORK): the child finds 0, draws a new epoch, and all inherited pools are stale. */
#include "kernel/base/rnd.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define POOL 2048

static _Atomic uint64_t *epoch;     /* in the wiped page; NULL: no pooling */
static _Atomic uint64_t last_epoch; /* survives a fork, so epochs never repeat */
static _Thread_local struct {
    uint64_t epoch;
    size_t left;
    unsigned char bytes[POOL];
} pool;

static void make_epoch_page(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return;
    }
    if (madvise(page, size, MADV_WIPEONFORK) < 0) {
        munmap(page, size);
        return;
    }
    epoch = page;
}

static void fresh(void *p, size_t n)
{
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            static const char text[] =
                "getrandom(2) failed; it needs Linux 3.17 and no filter on it\n";
            ssize_t ignored = write(2, text, sizeof text - 1);
            (void)ignored;
            abort(); /* going on without randomness would hand out guessable secrets */
        }
        p = (char *)p + got;
        n -= (size_t)got;
    }
}

void rnd_bytes(void *p, size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_epoch_page);
    if (epoch == NULL || n > POOL / 4) {
        fresh(p, n);
        return;
    }
    uint64_t now = atomic_load(epoch);
    if (now == 0) {
        uint64_t drawn = atomic_fetch_add(&last_epoch, 1) + 1;
        now = atomic_compare_exchange_strong(epoch, &now, drawn) ? drawn : now;
    }
    if (pool.epoch != now || pool.left < n) {
        fresh(pool.bytes, POOL);
        pool.left = POOL;
        pool.epoch = now;
    }
    pool.left -= n;
    memcpy(p, pool.bytes + pool.left, n);
    explicit_bzero(pool.bytes + pool.left, n); /* what was handed out is not kept */
}

void rnd_id(char *out, size_t n)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char bytes[32];
    size_t i = 0;
    while (i < n) {
        rnd_bytes(bytes, sizeof bytes);
        for (size_t j = 0; j < sizeof bytes && i < n; j++) {
            if ((bytes[j] & 63) < 62) { /* rejecting keeps the letters equally likely */
                out[i++] = letters[bytes[j] & 63];
            }
        }
    }
    out[n] = '\0';
}

void rnd_uuid(char out[37], int upper)
{
    const char *hex = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    unsigned char b[16];
    rnd_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0F) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3F) | 0x80);
    char *p = out;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *p++ = '-';
        }
        *p++ = hex[b[i] >> 4];
        *p++ = hex[b[i] & 15];
    }
    *p = '\0';
}
