/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked list with a head node. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};
#define container_of(p, T, m) ((T *)((char *)(p)-offsetof(T, m)))
#define list_entry(p, T, m)   container_of(p, T, m)

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_insert_(struct list *n, struct list *prev, struct list *next)
{
    n->prev = prev;
    n->next = next;
    prev->next = n;
    next->prev = n;
}
static inline void list_push_back(struct list *l, struct list *n)
{
    list_insert_(n, l->prev, l);
}
static inline void list_push_front(struct list *l, struct list *n)
{
    list_insert_(n, l, l->next);
}
static inline void list_del(struct list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->prev = n->next = n;
}
static inline struct list *list_pop_front(struct list *l)
{
    struct list *n = l->next;
    if (n == l) {
        return NULL;
    }
    list_del(n); /* NOLINT(clang-analyzer-unix.Malloc): it cannot follow an intrusive list */
    return n;
}
#define list_for_each(it, l) for (struct list *it = (l)->next; it != (l); it = it->next)
#define list_for_each_safe(it, l)                                                                  \
    for (struct list *it = (l)->next, *it##_n = it->next; it != (l); it = it##_n, it##_n = it->next)
