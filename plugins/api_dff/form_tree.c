/* SPDX-License-Identifier: Apache-2.0 */
/* Text fields of queries and forms as JSON (form_object): flat ones are written directly, names with brackets and
 * repeated names go through a small tree ("a[b]=1&a[c][]=2" is {"a":{"b":"1","c":["2"]}}). */
#include "form.h"
#include "call_out.h"

#include <stdio.h>

#define MAX_DEPTH 5  /* brackets of one name that nest; the rest of the name is one key */
#define MAX_INDEX 20 /* "a[21]" is a key, not an index: a small name must not make a big array */

static bool same(tn_str a, tn_str b)
{
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

/* No brackets; ASCII only, because two names that are no UTF-8 may become one. */
static bool is_plain(tn_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (name.s[i] == '[' || (unsigned char)name.s[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

/* Every name is a plain key and occurs once. Beyond a few fields the tree finds out. */
static bool is_flat(const tn_http_pair *pairs, size_t n)
{
    if (n > 16) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_plain(pairs[i].name)) {
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            if (same(pairs[i].name, pairs[k].name)) {
                return false;
            }
        }
    }
    return true;
}

/* Valid UTF-8 for the tree: invalid bytes become U+FFFD, as add_quote() makes them. NUL ends a key. */
static json_t *tree_text(tn_str t)
{
    json_t *s = json_stringn(t.s != NULL ? t.s : "", t.n);
    if (s == NULL) {
        struct str quoted = {0};
        add_quote(&quoted, t);
        s = quoted.failed ? NULL
                          : json_loadb(quoted.s, quoted.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        str_free(&quoted);
    }
    return s;
}

/* The tree holds objects only; a container that was only ever pushed to or indexed becomes an array at
 * the end. Pushed members have keys that no field can have: they are no UTF-8. */
#define PUSH_MARK '\xff'

static int set_new(json_t *object, const char *key, json_t *value_take)
{
    return json_object_set_new_nocheck(object, key, value_take);
}

static bool index_of(const char *key, unsigned *ret)
{
    if (key[0] == PUSH_MARK) {
        *ret = (unsigned)strtoul(key + 1, NULL, 10);
        return true;
    }
    if (key[0] == '\0' || (key[0] == '0' && key[1] != '\0') ||
        strspn(key, "0123456789") != strlen(key) || strlen(key) > 2) {
        return false;
    }
    *ret = (unsigned)strtoul(key, NULL, 10);
    return *ret <= MAX_INDEX;
}

static void push_key(const json_t *object, char *ret, size_t cap)
{
    snprintf(ret, cap, "%c%u", PUSH_MARK, (unsigned)json_object_size(object) + MAX_INDEX + 1);
}

/* Sets or, when the key is taken, turns the value into a list. Takes `value`. */
static int put_value(json_t *object, const char *key, json_t *value)
{
    char mark[24];
    json_t *old = json_object_get(object, key);
    if (old == NULL) {
        return set_new(object, key, value);
    }
    if (!json_is_object(old)) {
        json_t *list = json_object();
        push_key(list, mark, sizeof mark);
        set_new(list, mark, json_incref(old));
        set_new(object, key, list);
        old = list;
    }
    push_key(old, mark, sizeof mark);
    return set_new(old, mark, value);
}

/* One field: walks or makes the containers of its brackets. */
static bool put_field(json_t *root, const tn_http_pair *pair)
{
    json_t *name = tree_text(pair->name), *value = tree_text(pair->value), *at = root;
    char *key = name != NULL ? strdup(json_string_value(name)) : NULL, *p = key;
    char mark[24];
    int rc = -1;
    if (key == NULL || value == NULL) {
        json_decref(value);
        goto undo_name;
    }
    char *open = strchr(key, '[');
    if (open == key || (open != NULL && strchr(open, ']') == NULL)) {
        open = NULL; /* no root name, or brackets that do not close: a plain key */
    }
    if (open != NULL) {
        *open = '\0';
    }
    for (int depth = 0; open != NULL; depth++) {
        char *close = strchr(open + 1, ']');
        json_t *next = json_object_get(at, p);
        if (next != NULL && !json_is_object(next)) {
            json_t *list = json_object();
            push_key(list, mark, sizeof mark);
            set_new(list, mark, json_incref(next));
            next = NULL;
            set_new(at, p, list);
        } else if (next == NULL) {
            set_new(at, p, json_object());
        }
        at = json_object_get(at, p);
        p = open + 1;
        if (depth + 1 < MAX_DEPTH && close[1] == '[' && strchr(close + 2, ']') != NULL) {
            open = close + 1;
            *open = '\0';
        } else {
            open = NULL;
        }
        *close = '\0';
        if (*p == '\0') {
            push_key(at, mark, sizeof mark);
            p = mark;
            if (open != NULL) { /* "a[][b]": each time a new element */
                set_new(at, mark, json_object());
                at = json_object_get(at, mark);
                p = open + 1;
                close = strchr(open + 1, ']');
                *close = '\0';
                open = NULL;
            }
        }
        if (at == NULL) {
            json_decref(value);
            goto undo_name;
        }
    }
    rc = put_value(at, p, value);
undo_name:
    free(key);
    json_decref(name);
    return rc == 0;
}

static void write_node(struct str *out, const json_t *node, bool root);

static bool is_list(const json_t *object)
{
    const char *key;
    json_t *value;
    unsigned index;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (!index_of(key, &index)) {
            return false;
        }
    }
    return json_object_size(object) > 0;
}

static void write_list(struct str *out, const json_t *object)
{
    const char *key;
    json_t *value;
    unsigned index, last = 0;
    add_lit(out, "[");
    /* Indexed elements come in the order of their index, pushed ones behind them in theirs. */
    for (unsigned want = 0, n = 0; want <= MAX_INDEX; want++) {
        json_object_foreach((json_t *)(uintptr_t)object, key, value)
        {
            if (key[0] != PUSH_MARK && index_of(key, &index) && index == want) {
                str_puts(out, n++ > 0 ? "," : "");
                write_node(out, value, false);
                last = 1;
            }
        }
    }
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (key[0] == PUSH_MARK) {
            str_puts(out, last ? "," : "");
            write_node(out, value, false);
            last = 1;
        }
    }
    add_lit(out, "]");
}

/* The name of a member of an object; pushed ones get a number that no field has. */
static void write_key(struct str *out, const json_t *object, const char *key)
{
    char text[24];
    if (key[0] == PUSH_MARK) {
        unsigned n = (unsigned)strtoul(key + 1, NULL, 10);
        do {
            snprintf(text, sizeof text, "%u", n);
            n += 2 * FORM_FIELDS_MAX; /* more than are pushed, so that two never meet */
        } while (json_object_get(object, text) != NULL);
        key = text;
    }
    add_quote(out, text_of(key));
}

static void write_node(struct str *out, const json_t *node, bool root)
{
    const char *key;
    json_t *value;
    bool first = true;
    if (json_is_string(node)) {
        add_quote(out, (tn_str){json_string_value(node), json_string_length(node)});
        return;
    }
    if (!root && is_list(node)) {
        write_list(out, node);
        return;
    }
    add_lit(out, "{");
    json_object_foreach((json_t *)(uintptr_t)node, key, value)
    {
        str_puts(out, first ? "" : ",");
        first = false;
        write_key(out, node, key);
        add_lit(out, ":");
        write_node(out, value, false);
    }
    add_lit(out, "}");
}

void form_object(struct str *out, const tn_http_pair *pairs, size_t n)
{
    if (is_flat(pairs, n)) {
        add_lit(out, "{");
        for (size_t i = 0; i < n; i++) {
            if (i > 0) {
                add_lit(out, ",");
            }
            add_quote(out, pairs[i].name);
            add_lit(out, ":");
            add_quote(out, pairs[i].value);
        }
        add_lit(out, "}");
        return;
    }
    json_t *root = json_object();
    for (size_t i = 0; i < n; i++) {
        if (!put_field(root, &pairs[i])) {
            out->failed = true;
        }
    }
    write_node(out, root, true);
    json_decref(root);
}
