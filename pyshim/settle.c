/* SPDX-License-Identifier: Apache-2.0 */
/* Before a fork: closes the holes that freed memory has left, so that what workers allocate lies close together in
 * fresh pages. Otherwise a few words here and there make a private copy of nearly every page they share. */
#include "pyshim/shim.h"

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || !defined(__GLIBC__)
void settle(void)
{
} /* the allocator is another one */
#else

#if PY_VERSION_HEX >= 0x030A0000
#define POOL (16u << 10) /* Objects/obmalloc.c: blocks of one size in one pool */
#else
#define POOL (4u << 10)
#endif
#define HEADER    48u /* of a pool, before its first block */
#define STEP      16u /* between two sizes of blocks */
#define SMALL_MAX 512u
#define LARGE_MAX (8u << 10)
#define FILL_MAX                                                                                   \
    (256u << 10) /* bytes for one size: a bound if the allocator is not what we think */

/* Allocates blocks of one size until they come from a pool that nothing was ever freed in. */
static void fill_pools(size_t size)
{
    static uintptr_t fresh[SMALL_MAX / STEP + 1]; /* the pool where the last round ended, by size */
    uintptr_t *pool = &fresh[size / STEP], last = 0;
    for (size_t sum = 0; sum < FILL_MAX; sum += size) {
        uintptr_t p = (uintptr_t)PyObject_Malloc(size);
        if (p == 0) {
            return;
        }
        if (p / POOL == *pool) {
            PyObject_Free((void *)p);
            return;
        }
        if (last % POOL == HEADER && p == last + size) { /* the first two, one behind the other */
            *pool = p / POOL;
            return;
        }
        last = p;
    }
}

/* Allocates blocks of one size until they come from the end of the heap. */
static void fill_heap(size_t size)
{
    struct mallinfo2 m = mallinfo2();
    uintptr_t top = (uintptr_t)sbrk(0) - m.keepcost;
    for (size_t sum = 0; sum < m.fordblks; sum += size) {
        void *p = malloc(size);
        if (p == NULL || (uintptr_t)p >= top) {
            free(p);
            return;
        }
    }
}

/* What is filled is never given back; rounds become rarer, so that a zygote that compiles for years does not grow. */
void settle(void)
{
    static unsigned long asked;
    asked++;
    if ((asked & (asked - 1)) != 0) {
        return; /* the 1st, 2nd, 4th, 8th … time */
    }
    for (size_t size = STEP; size <= SMALL_MAX; size += STEP) {
        fill_pools(size);
    }
    for (size_t size = LARGE_MAX; size > STEP;
         size = size > 2 * SMALL_MAX ? size / 2 : size - STEP) {
        fill_heap(size);
    }
}
#endif
