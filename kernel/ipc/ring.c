/* SPDX-License-Identifier: Apache-2.0 */
/* The shared page of one worker and its two byte rings. */
#include "kernel/ipc/ring.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(IPC_FRAME_MAX * 2 <= IPC_RING_SIZE, "a largest frame and its pad must fit");
_Static_assert(sizeof(struct ipc_frame) == 16 && sizeof(struct ipc_reply) == 56, "frame layout");
_Static_assert(sizeof(struct ipc_call) == 104, "frame layout");
_Static_assert(offsetof(struct ipc_page, calls) == 64, "the rings start on a cache line");

#define PAGE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static struct ipc_page *map(int fd)
{
    void *p = mmap(NULL, sizeof(struct ipc_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? NULL : p; /* cppcheck-suppress memleak; the caller unmaps it */
}

int ipc_page_create(struct ipc_page **ret_page)
{
    int fd = memfd_create("tenon-page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return -1;
    }
    if (ftruncate(fd, sizeof(struct ipc_page)) || fcntl(fd, F_ADD_SEALS, PAGE_SEALS)) {
        goto undo_fd;
    }
    struct ipc_page *page = map(fd);
    if (!page) {
        goto undo_fd;
    }
    page->magic = IPC_PAGE_MAGIC;
    page->version = IPC_PAGE_VERSION;
    atomic_store(&page->resume, 1);
    *ret_page = page;
    return fd;

undo_fd:;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

int ipc_page_map(int memfd, struct ipc_page **ret_page)
{
    struct stat st;
    if (fstat(memfd, &st)) {
        return -1;
    }
    if (st.st_size != (off_t)sizeof(struct ipc_page)) {
        errno = EINVAL;
        return -1;
    }
    struct ipc_page *page = map(memfd);
    if (!page) {
        return -1;
    }
    if (page->magic != IPC_PAGE_MAGIC || page->version != IPC_PAGE_VERSION) {
        ipc_page_unmap(page);
        errno = EPROTO;
        return -1;
    }
    *ret_page = page;
    return 0;
}

void ipc_page_unmap(struct ipc_page *page)
{
    if (page) {
        munmap(page, sizeof(*page));
    }
}

void *ipc_ring_reserve(struct ipc_ring *r, uint64_t *tail, uint32_t size)
{
    if (size < sizeof(struct ipc_frame) || size % 8 || size > IPC_RING_SIZE / 2) {
        return NULL;
    }
    /* A lying consumer can only make the ring look full or let us overwrite what it did not read. */
    uint64_t used = *tail - atomic_load_explicit(&r->head, memory_order_acquire);
    uint32_t pos = (uint32_t)(*tail % IPC_RING_SIZE);
    uint32_t pad = pos + size > IPC_RING_SIZE ? IPC_RING_SIZE - pos : 0;
    if (used > IPC_RING_SIZE || IPC_RING_SIZE - used < (uint64_t)pad + size) {
        return NULL;
    }
    if (pad) {
        /* Only size and type: the rest may be 8 bytes. */
        memcpy(r->data + pos, &pad, sizeof(pad));
        memset(r->data + pos + offsetof(struct ipc_frame, type), 0, 4);
        pos = 0;
    }
    *tail += pad + size;
    return r->data + pos;
}

void ipc_ring_publish(struct ipc_ring *r, uint64_t tail)
{
    atomic_store_explicit(&r->tail, tail, memory_order_release);
}

int64_t ipc_ring_take(struct ipc_ring *r, uint64_t *head, void *out, uint32_t cap)
{
    uint64_t avail = atomic_load_explicit(&r->tail, memory_order_acquire) - *head;
    while (avail) {
        uint32_t pos = (uint32_t)(*head % IPC_RING_SIZE);
        if (avail > IPC_RING_SIZE || avail % 8) {
            return -1;
        }
        /* Read once: the producer may change it under our eyes. */
        uint32_t size = *(const volatile uint32_t *)(r->data + pos);
        uint16_t type = *(const volatile uint16_t *)(r->data + pos +
                                                     offsetof(struct ipc_frame, type));
        if (size % 8 || size < 8 || size > avail || size > IPC_RING_SIZE - pos) {
            return -1;
        }
        if (type != 0) {
            if (size < sizeof(struct ipc_frame) || size > cap) {
                return -1;
            }
            memcpy(out, r->data + pos, size);
            struct ipc_frame *f = out;
            f->size = size;
            f->type = type;
        } else if (size != IPC_RING_SIZE - pos) {
            return -1;
        }
        *head += size;
        avail -= size;
        atomic_store_explicit(&r->head, *head, memory_order_release);
        if (type != 0) {
            return size;
        }
    }
    return 0;
}
