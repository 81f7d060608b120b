/* SPDX-License-Identifier: Apache-2.0 */
/* Text and bytes that are put together piece by piece. Compiled into each plugin that names it. */
#pragma once
#include <stddef.h>
#include <tenon/types.h>

/* Zeroed: empty. What does not fit into memory or `max` (0: no bound) sets `rc` and is dropped, like all that follows;
 * so only the end has to be checked. `s` has a NUL behind its n bytes once something was put. */
struct grow {
    char *s;
    size_t n, cap, max;
    tn_rc rc; /* TN_OK, TN_E_NOMEM, TN_E_LIMIT */
};
void grow_put(struct grow *g, const void *p, size_t n);
void grow_text(struct grow *g, const char *text);
void grow_char(struct grow *g, char c);
void grow_printf(struct grow *g, const char *fmt, ...) TN_PRINTF(2, 3);
/* Room for n more bytes, to be written by the caller, who then adds to g->n; NULL: there is none. */
char *grow_room(struct grow *g, size_t n);
/* Empty again; the memory is kept. */
void grow_clear(struct grow *g);
void grow_free(struct grow *g);
