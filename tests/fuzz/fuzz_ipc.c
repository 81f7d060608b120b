/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and rings as a worker could write them: sections lie inside the frame, a ring never yields
 * more than was published, the producer never writes outside, and everything ends.
 * First byte: 'c' call frame, 'r' reply frame, otherwise a ring: 4 bytes head, 4 bytes published, data. */
#include "kernel/ipc/ring.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fuzz_ipc: %s\n", what);
        abort();
    }
}

static void inside(const tn_str *s, unsigned n, const unsigned char *frame, size_t size)
{
    for (unsigned i = 0; i < n; i++) {
        const unsigned char *p = (const unsigned char *)s[i].s;
        must(s[i].n == 0 || (p >= frame && p + s[i].n <= frame + size),
             "a section lies outside its frame");
        for (size_t k = 0; k < s[i].n; k++) {
            must(p[k] == frame[(size_t)(p - frame) + k],
                 "cannot happen"); /* reads every byte (ASan) */
        }
    }
}

static void parse(const unsigned char *frame, size_t size)
{
    tn_str call[IPC_S_CALL_N], reply[IPC_REPLY_N];
    tn_err err = TN_ERR_INIT;
    if (ipc_call_parse(frame, size, call, &err) == TN_OK) {
        inside(call, IPC_S_CALL_N, frame, size);
    } else {
        must(err.msg[0] != '\0', "refused without a word");
    }
    if (ipc_reply_parse(frame, size, reply, NULL) == TN_OK) {
        inside(reply, IPC_REPLY_N, frame, size);
    }
}

static void ring(const uint8_t *data, size_t size)
{
    static struct ipc_ring r;
    static _Alignas(16) unsigned char out[IPC_FRAME_MAX];
    uint32_t start, published;
    if (size < 8) {
        return;
    }
    memcpy(&start, data, 4);
    memcpy(&published, data + 4, 4);
    data += 8;
    size -= 8;
    uint64_t head = start & ~7u, first = head, taken = 0;
    for (size_t i = 0; i < size; i++) {
        r.data[(head + i) % IPC_RING_SIZE] = data[i];
    }
    atomic_store(&r.head, head);
    atomic_store(&r.tail, head + published);
    int64_t n;
    while ((n = ipc_ring_take(&r, &head, out, sizeof(out))) > 0) {
        must(n >= (int64_t)sizeof(struct ipc_frame) && n <= (int64_t)sizeof(out),
             "impossible size");
        taken += (uint64_t)n;
        must(taken <= published && head - first <= published, "more than was published");
        parse(out, (size_t)n);
    }
    uint64_t tail = head + (published & 0x3fff8);
    uint32_t want = (start >> 3 & 0x3fff) * 8;
    unsigned char *p = ipc_ring_reserve(&r, &tail, want);
    must(!p || (p >= r.data && p + want <= r.data + IPC_RING_SIZE), "reserved outside");
    memset(r.data, 0, size < IPC_RING_SIZE ? IPC_RING_SIZE : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (*data == 'c' || *data == 'r') {
        /* its own allocation, aligned and exactly as long: overruns are seen */
        unsigned char *frame = malloc(size > 1 ? size - 1 : 1);
        must(frame != NULL, "no memory");
        memcpy(frame, data + 1, size - 1);
        parse(frame, size - 1);
        free(frame);
    } else {
        ring(data + 1, size - 1);
    }
    return 0;
}
