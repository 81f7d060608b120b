/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive binary min-heap of deadlines. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t at; /* key, e.g. CLOCK_MONOTONIC nanoseconds */
    size_t pos;  /* 1-based position, 0 = not in the heap */
};
struct heap {
    struct heap_node **nodes;
    size_t n, cap;
};
void heap_init(struct heap *h);
void heap_finish(struct heap *h);
int heap_add(struct heap *h, struct heap_node *node, uint64_t at); /* or moves it; -1 no memory */
void heap_del(struct heap *h, struct heap_node *node);             /* no-op when absent */
static inline struct heap_node *heap_top(const struct heap *h)
{
    return h->n ? h->nodes[1] : NULL;
}
