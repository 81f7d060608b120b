/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks of memory. */
#include "common/chunks.h"

#include <stdlib.h>

#define CHUNK 262144

char *chunks_room(struct chunks *c, size_t need)
{
    struct chunk *k = c->last;
    if (k == NULL || k->cap - k->n < need) {
        size_t cap = need > CHUNK ? need : CHUNK;
        k = malloc(sizeof *k + cap);
        if (k == NULL) {
            return NULL;
        }
        k->next = NULL;
        k->n = 0;
        k->cap = cap;
        if (c->last != NULL) {
            c->last->next = k;
        } else {
            c->first = k;
        }
        c->last = k;
    }
    k->n += need;
    return k->data + k->n - need;
}

void chunks_finish(struct chunks *c)
{
    for (struct chunk *k = c->first, *next; k != NULL; k = next) {
        next = k->next;
        free(k);
    }
    *c = (struct chunks){NULL, NULL};
}
