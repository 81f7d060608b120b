/* SPDX-License-Identifier: Apache-2.0 */
/* The shared page of one worker: a claim word, progress, and two single-producer single-consumer byte
 * rings. The consumer copies a frame out before it looks at it.
 *
 * Claiming: the worker takes call s by compare-and-swap of `claim` from s-1 to s. The hub takes back
 * everything that has not started by setting IPC_REVOKED on `claim` (compare-and-swap) after storing
 * the next sequence number it will send in `resume`. A worker that fails to claim drops frames below
 * `resume`, stores resume-1 in `claim` and goes on. So a call that was not started is owned by nobody. */
#pragma once
#include "kernel/ipc/frame.h"
#include <stdatomic.h>

#define IPC_REVOKED      (1ull << 63)
#define IPC_PAGE_MAGIC   0x50414745u
#define IPC_PAGE_VERSION 2u
#define IPC_FRAME_MAX    (IPC_INLINE_MAX + 512u) /* largest frame: sections and the fixed part */

struct ipc_ring {
    _Atomic uint64_t head; /* consumer: bytes consumed */
    char pad0_[56];
    _Atomic uint64_t tail; /* producer: bytes published */
    char pad1_[56];
    unsigned char data[IPC_RING_SIZE];
};
struct ipc_page {
    uint32_t magic, version;
    _Atomic uint64_t claim;         /* last claimed seq | IPC_REVOKED */
    _Atomic uint64_t resume;        /* hub writes before revoking */
    _Atomic uint64_t started_ns;    /* CLOCK_MONOTONIC at the claim, 0 = idle */
    _Atomic uint32_t worker_sleeps; /* worker is about to block in recv: needs a bell */
    _Atomic uint32_t hub_sleeps;    /* hub is about to block in epoll: needs a bell */
    _Atomic uint64_t done;          /* last finished seq */
    _Atomic uint64_t cancel;        /* hub: this seq shall end, see IPC_SIG_SOFT */
    char pad_[8];
    struct ipc_ring calls;   /* hub -> worker */
    struct ipc_ring replies; /* worker -> hub */
};

int ipc_page_create(struct ipc_page **ret_page);         /* memfd (F_SEAL_SHRINK|GROW|SEAL) or -1 */
int ipc_page_map(int memfd, struct ipc_page **ret_page); /* 0 or -1 errno; checks size and magic */
void ipc_page_unmap(struct ipc_page *page);
/* Producer: room for a frame of `size` bytes (multiple of 8) or NULL. Write it, then publish. A frame
 * never wraps: the rest of the ring is skipped by a pad frame of type 0. `tail` is the producer's own
 * private copy (never re-read from shared memory); reserve moves it past the frame. */
void *ipc_ring_reserve(struct ipc_ring *r, uint64_t *tail, uint32_t size);
void ipc_ring_publish(struct ipc_ring *r, uint64_t tail);
/* Consumer: copies the next frame into out (cap bytes). Returns its size, 0 = empty, -1 = the
 * producer broke the protocol (bad size, alignment or bounds). `head` is the consumer's private copy. */
int64_t ipc_ring_take(struct ipc_ring *r, uint64_t *head, void *out, uint32_t cap);
