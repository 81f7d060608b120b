/* SPDX-License-Identifier: Apache-2.0 */
/* Reading forms and queries that the frontend did not take apart. */
#include "form.h"

#include <stdlib.h>
#include <string.h>

#define LEVELS 5
#define ITEMS  1000 /* of one "a[]" array */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void form_decode(struct str *b, tn_str t)
{
    for (size_t i = 0; i < t.n; i++) {
        int hi, lo;
        if (t.s[i] == '+') {
            str_char(b, ' ');
        } else if (t.s[i] == '%' && i + 2 < t.n && (hi = hex_value(t.s[i + 1])) >= 0 &&
                   (lo = hex_value(t.s[i + 2])) >= 0) {
            str_char(b, (char)(hi << 4 | lo));
            i += 2;
        } else {
            str_char(b, t.s[i]);
        }
    }
}

bool form_next(tn_str *rest, tn_str *key, tn_str *value)
{
    if (rest->n == 0) {
        return false;
    }
    const char *amp = memchr(rest->s, '&', rest->n);
    size_t n = amp != NULL ? (size_t)(amp - rest->s) : rest->n;
    const char *eq = memchr(rest->s, '=', n);
    size_t kn = eq != NULL ? (size_t)(eq - rest->s) : n;
    *key = (tn_str){rest->s, kn};
    *value = eq != NULL ? (tn_str){eq + 1, n - kn - 1} : (tn_str){NULL, 0};
    size_t used = amp != NULL ? n + 1 : n;
    *rest = (tn_str){rest->s + used, rest->n - used};
    return true;
}

/* Splits "a[b][]" into its names in place; returns how many. */
static size_t split_name(char *name, char *parts[LEVELS])
{
    size_t n = 0;
    parts[n++] = name;
    char *open = strchr(name, '[');
    if (open == NULL || open == name || name[strlen(name) - 1] != ']') {
        return n;
    }
    while (open != NULL && n < LEVELS) {
        char *close = strchr(open, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != '[')) {
            break;
        }
        *open = *close = '\0';
        parts[n++] = open + 1;
        open = close[1] == '[' ? close + 1 : NULL;
    }
    return n;
}

/* Puts value at obj[parts[0]][parts[1]]…; an empty name appends. */
static void put(json_t *at, char *const parts[], size_t n, json_t *value_take)
{
    for (size_t i = 0; i < n; i++) {
        bool last = i + 1 == n;
        json_t *child = last ? value_take : NULL;
        if (!last) {
            json_t *old = json_is_object(at) ? json_object_get(at, parts[i]) : NULL;
            bool array = parts[i + 1][0] == '\0';
            if (old != NULL && (array ? json_is_array(old) : json_is_object(old))) {
                at = old;
                continue;
            }
            child = array ? json_array() : json_object();
        }
        int rc = -1;
        if (json_is_object(at)) {
            rc = json_object_set_new(at, parts[i], child);
        } else if (json_array_size(at) < ITEMS) {
            rc = json_array_append_new(at, child);
        } else {
            json_decref(child);
        }
        if (rc != 0) {
            if (!last) {
                json_decref(value_take);
            }
            return;
        }
        at = child;
    }
}

json_t *form_parse(tn_str body)
{
    json_t *obj = json_object();
    tn_str key, value;
    while (form_next(&body, &key, &value)) {
        struct str k = {0}, v = {0};
        form_decode(&k, key);
        form_decode(&v, value);
        json_t *name = k.n > 0 && !k.failed ? json_stringn(k.s, k.n) : NULL; /* UTF-8 without NUL */
        if (name != NULL && strlen(k.s) == k.n) {
            char *parts[LEVELS];
            json_t *text = json_stringn(str_view(&v).s, v.n);
            put(obj, parts, split_name(k.s, parts), text != NULL ? text : json_string("<binary>"));
        }
        json_decref(name);
        str_free(&k);
        str_free(&v);
    }
    return obj;
}
