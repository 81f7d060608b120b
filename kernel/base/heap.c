/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive binary min-heap of deadlines. */
#include "kernel/base/heap.h"

#include <stdlib.h>

void heap_init(struct heap *h)
{
    *h = (struct heap){NULL, 0, 0};
}

void heap_finish(struct heap *h)
{
    if (h == NULL) {
        return;
    }
    for (size_t i = 1; i <= h->n; i++) {
        h->nodes[i]->pos = 0;
    }
    free(h->nodes);
    heap_init(h);
}

static void place(struct heap *h, size_t pos, struct heap_node *node)
{
    h->nodes[pos] = node;
    node->pos = pos;
}

/* Moves node from the hole at pos to where it belongs. */
static void sift(struct heap *h, size_t pos, struct heap_node *node)
{
    while (pos > 1 && node->at < h->nodes[pos / 2]->at) {
        place(h, pos, h->nodes[pos / 2]);
        pos /= 2;
    }
    for (size_t child; (child = pos * 2) <= h->n; pos = child) {
        if (child < h->n && h->nodes[child + 1]->at < h->nodes[child]->at) {
            child++;
        }
        if (h->nodes[child]->at >= node->at) {
            break;
        }
        place(h, pos, h->nodes[child]);
    }
    place(h, pos, node);
}

int heap_add(struct heap *h, struct heap_node *node, uint64_t at)
{
    if (node->pos == 0) {
        if (h->n + 1 >= h->cap) {
            size_t cap = h->cap != 0 ? h->cap * 2 : 16;
            struct heap_node **nodes = realloc(h->nodes, cap * sizeof *nodes);
            if (nodes == NULL) {
                return -1;
            }
            h->nodes = nodes;
            h->cap = cap;
        }
        place(h, ++h->n, node);
    }
    node->at = at;
    sift(h, node->pos, node);
    return 0;
}

void heap_del(struct heap *h, struct heap_node *node)
{
    size_t pos = node->pos;
    if (pos == 0) {
        return;
    }
    struct heap_node *last = h->nodes[h->n--];
    node->pos = 0;
    if (last != node) {
        sift(h, pos, last);
    }
}
