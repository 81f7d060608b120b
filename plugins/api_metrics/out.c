/* SPDX-License-Identifier: Apache-2.0 */
/* The text exposition format: names are ours and constant, label values are escaped as it asks. */
#include "out.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct out *o, const char *s, size_t n)
{
    if (o->failed) {
        return;
    }
    if (o->cap - o->n <= n) {
        size_t cap = (o->n + n + 1) * 2;
        char *more = realloc(o->s, cap);
        if (more == NULL) {
            o->failed = true;
            return;
        }
        o->s = more;
        o->cap = cap;
    }
    memcpy(o->s + o->n, s, n);
    o->n += n;
    o->s[o->n] = '\0';
}

static void puts_to(struct out *o, const char *s)
{
    add(o, s, strlen(s));
}

void out_family(struct out *o, const char *name, const char *type, const char *help)
{
    const char *const parts[] = {"# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        puts_to(o, parts[i]);
    }
}

static void add_value(struct out *o, double v)
{
    char text[40];
    if (isinf(v)) {
        puts_to(o, v > 0 ? "+Inf" : "-Inf");
        return;
    }
    bool whole = v == floor(v) && fabs(v) < 1e15;
    int n = snprintf(text, sizeof text, whole ? "%.0f" : "%.9g", v);
    add(o, text, (size_t)n);
}

static void add_label(struct out *o, const struct label *l, const char *before)
{
    puts_to(o, before);
    puts_to(o, l->name);
    puts_to(o, "=\"");
    for (const char *p = l->value != NULL ? l->value : ""; *p != '\0'; p++) {
        if (*p == '\n') {
            puts_to(o, "\\n");
        } else {
            if (*p == '"' || *p == '\\') {
                puts_to(o, "\\");
            }
            add(o, p, 1);
        }
    }
    puts_to(o, "\"");
}

void out_sample(struct out *o, const char *name, const char *suffix, const struct label *labels,
                uint32_t n, double value)
{
    puts_to(o, name);
    puts_to(o, suffix != NULL ? suffix : "");
    for (uint32_t i = 0; i < n; i++) {
        add_label(o, &labels[i], i == 0 ? "{" : ",");
    }
    puts_to(o, n > 0 ? "} " : " ");
    add_value(o, value);
    puts_to(o, "\n");
}
