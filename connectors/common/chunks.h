/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that come piece by piece and stay where they are: chunks of memory one behind the other. A piece is whole in one
 * chunk. Compiled into each plugin that names it. */
#pragma once
#include <stddef.h>

struct chunk {
    struct chunk *next;
    size_t n, cap;
    char data[];
};
struct chunks { /* zeroed: empty */
    struct chunk *first, *last;
};
/* Room for a piece, behind the last one; NULL: no memory. */
char *chunks_room(struct chunks *c, size_t need);
void chunks_finish(struct chunks *c);
