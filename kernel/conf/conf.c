/* SPDX-License-Identifier: Apache-2.0 */
/* Items from all sources, and the list of problems. */
#include "kernel/conf/conf.h"

#include "kernel/base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONF_ITEMS_MAX    2000 /* searched linearly */
#define CONF_PROBLEMS_MAX 100  /* what a person still reads; all are counted */

void conf_init(struct conf *c)
{
    *c = (struct conf){NULL, 0, 0};
}

static void item_finish(struct conf_item *it)
{
    free(it->key);
    if (it->value != NULL) {
        explicit_bzero(it->value, strlen(it->value)); /* may be a secret; we know only later */
    }
    free(it->value);
    free(it->where);
    free(it->joined);
}

void conf_finish(struct conf *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < c->n; i++) {
        item_finish(&c->items[i]);
    }
    free(c->items);
    conf_init(c);
}

static struct conf_item *find(const struct conf *c, const char *key)
{
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->items[i].key, key) == 0) {
            return &c->items[i];
        }
    }
    return NULL;
}

const struct conf_item *conf_get(const struct conf *c, const char *key)
{
    return find(c, key);
}

tn_rc conf_set(struct conf *c, const char *key, const char *value, const char *where)
{
    struct conf_item *it = find(c, key);
    struct conf_item fresh = {str_dup(str_of(key)), str_dup(str_of(value)), str_dup(str_of(where)),
                              NULL, 0};
    if (fresh.key == NULL || fresh.value == NULL || fresh.where == NULL) {
        goto undo_fresh;
    }
    if (it == NULL) {
        if (c->n >= CONF_ITEMS_MAX) {
            item_finish(&fresh);
            return TN_E_LIMIT;
        }
        if (c->n == c->cap) {
            size_t cap = c->cap != 0 ? c->cap * 2 : 32;
            struct conf_item *items = realloc(c->items, cap * sizeof *items);
            if (items == NULL) {
                goto undo_fresh;
            }
            c->items = items;
            c->cap = cap;
        }
        c->items[c->n++] = fresh;
    } else {
        item_finish(it);
        *it = fresh;
    }
    return TN_OK;

undo_fresh:
    item_finish(&fresh);
    return TN_E_NOMEM;
}

void conf_problems_finish(struct conf_problems *p)
{
    if (p != NULL) {
        buf_finish(&p->text);
        p->errors = p->warnings = 0;
    }
}

static void add_problem(struct conf_problems *p, const char *where, const char *key,
                        const char *mark, const char *fmt, va_list ap)
{
    unsigned all = p->errors + p->warnings;
    if (all > CONF_PROBLEMS_MAX) {
        return;
    }
    if (all == CONF_PROBLEMS_MAX) {
        buf_adds(&p->text, "... and more; these come first\n");
        return;
    }
    if (where != NULL) {
        buf_printf(&p->text, "%s: ", where);
    }
    if (key != NULL) {
        buf_printf(&p->text, "%s: ", key);
    }
    buf_adds(&p->text, mark);
    buf_vprintf(&p->text, fmt, ap);
    buf_addc(&p->text, '\n');
}

void conf_problem(struct conf_problems *p, const char *where, const char *key, const char *fmt, ...)
{
    if (p == NULL) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    add_problem(p, where, key, "", fmt, ap);
    va_end(ap);
    p->errors++;
}

void conf_warning(struct conf_problems *p, const char *where, const char *key, const char *fmt, ...)
{
    if (p == NULL) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    add_problem(p, where, key, "warning: ", fmt, ap);
    va_end(ap);
    p->warnings++;
}

void conf_read_sections(struct conf *c, char *const *environ_, struct conf_problems *p)
{
    for (; *environ_ != NULL; environ_++) {
        tn_str rest = str_of(*environ_), name;
        str_split(&rest, '=', &name);
        if (!str_prefix(name, "TENON_") || rest.s == NULL || name.n > 200 ||
            memmem(name.s, name.n, "__", 2) == NULL) {
            continue;
        }
        char key[256];
        size_t n = 0;
        for (size_t i = strlen("TENON_"); i < name.n; i++) {
            bool section = name.s[i] == '_' && i + 1 < name.n && name.s[i + 1] == '_';
            key[n++] = section ? '.' : (char)tolower((unsigned char)name.s[i]);
            i += section;
        }
        key[n] = '\0';
        char where[256 + 16];
        snprintf(where, sizeof where, "environment %.*s", (int)name.n, name.s);
        if (conf_set(c, key, rest.s, where) != TN_OK) {
            conf_problem(p, where, key, "too many settings (at most %d)", CONF_ITEMS_MAX);
        }
    }
}
