/* SPDX-License-Identifier: Apache-2.0 */
/* Growing text. */
#include "common/grow.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *grow_room(struct grow *g, size_t n)
{
    if (g->rc != TN_OK) {
        return NULL;
    }
    if (g->max != 0 && (n > g->max || g->n > g->max - n)) {
        g->rc = TN_E_LIMIT;
        return NULL;
    }
    if (g->cap - g->n <= n) {
        size_t cap = g->cap < 256 ? 256 : g->cap;
        while (cap - g->n <= n) {
            cap += cap / 2;
        }
        char *s = realloc(g->s, cap);
        if (s == NULL) {
            g->rc = TN_E_NOMEM;
            return NULL;
        }
        g->s = s;
        g->cap = cap;
    }
    return g->s + g->n;
}

void grow_put(struct grow *g, const void *p, size_t n)
{
    char *to = grow_room(g, n);
    if (to != NULL) {
        if (n != 0) {
            memcpy(to, p, n);
        }
        g->n += n;
        g->s[g->n] = '\0';
    }
}

void grow_text(struct grow *g, const char *text)
{
    grow_put(g, text, strlen(text));
}

void grow_char(struct grow *g, char c)
{
    grow_put(g, &c, 1);
}

void grow_printf(struct grow *g, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof text) {
        grow_put(g, text, (size_t)n);
        return;
    }
    char *to = n >= 0 ? grow_room(g, (size_t)n) : NULL;
    if (to != NULL) {
        va_start(ap, fmt);
        vsnprintf(to, (size_t)n + 1, fmt, ap);
        va_end(ap);
        g->n += (size_t)n;
    }
}

void grow_clear(struct grow *g)
{
    g->n = 0;
    g->rc = TN_OK;
    if (g->s != NULL) {
        g->s[0] = '\0';
    }
}

void grow_free(struct grow *g)
{
    free(g->s);
    *g = (struct grow){.max = g->max};
}
