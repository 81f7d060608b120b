/* SPDX-License-Identifier: Apache-2.0 */
/* Takes members that were credentials out of a JSON object, as text: numbers stay what they were. */
#include "call.h"

#define DEPTH_MAX 64
#define TIMES_MAX 16 /* every one is another pass over the text */

/* The last member of that name, NULL when there is none. Members are in the scratch. */
static const tn_json_member *member_of(tn_str object, tn_str name)
{
    tn_json_member *m = calls.scratch.members;
    uint32_t kind = TN_JSON_NULL, n = 0;
    char text[512];
    if (api.host->json->scan(object, &kind, m, SCRATCH_MEMBERS, &n, NULL) != TN_OK ||
        kind != TN_JSON_OBJECT) {
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        tn_str key = m[i].key;
        if ((m[i].flags & TN_JSON_KEY_ESCAPED) != 0) {
            key = (tn_str){text, api.host->json->unquote(m[i].key, NULL, 0)};
            if (key.n > sizeof text) {
                continue;
            }
            api.host->json->unquote(m[i].key, text, sizeof text);
        }
        if (key.n == name.n && memcmp(key.s, name.s, key.n) == 0) {
            return &m[i];
        }
    }
    return NULL;
}

/* As the plugins look for it: the whole path as one key, then a member for each part. */
static const tn_json_member *member_at(tn_str object, tn_str path)
{
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        const tn_json_member *m = member_of(object, path);
        const char *dot = memchr(path.s, '.', path.n);
        if (m != NULL || dot == NULL) {
            return m;
        }
        m = member_of(object, (tn_str){path.s, (size_t)(dot - path.s)});
        if (m == NULL || m->kind != TN_JSON_OBJECT) {
            return NULL;
        }
        object = m->value;
        path.n -= (size_t)(dot + 1 - path.s);
        path.s = dot + 1;
    }
    return NULL;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Everything of `text` but the member and one comma beside it. */
static bool cut(tn_str text, const tn_json_member *m, struct str *out, tn_str *ret)
{
    const char *from = m->key.s - ((m->flags & TN_JSON_KEY_ESCAPED) == 0);
    const char *to = m->value.s + m->value.n, *end = text.s + text.n;
    while (to < end && blank(*to)) {
        to++;
    }
    if (to < end && *to == ',') {
        to++;
    } else {
        while (from > text.s && blank(from[-1])) {
            from--;
        }
        from -= from > text.s && from[-1] == ',';
    }
    size_t head = (size_t)(from - text.s), tail = (size_t)(end - to);
    if (out->s != NULL && text.s >= out->s && text.s < out->s + out->n) { /* ours: in place */
        char *own = out->s + (text.s - out->s);
        memmove(own + head, to, tail);
        *ret = (tn_str){own, head + tail};
        return true;
    }
    char *copy = str_room_for(out, head + tail);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, text.s, head);
    memcpy(copy + head, to, tail);
    *ret = (tn_str){copy, head + tail};
    return true;
}

bool kwargs_hide(tn_str *object, const char *place, const tn_http_pair *hidden, uint32_t nhidden,
                 struct str *out)
{
    for (uint32_t i = 0; i < nhidden; i++) {
        const tn_json_member *m;
        unsigned times = 0;
        /* Again while there is one: a name may stand there several times. */
        while (text_is(hidden[i].name, place) &&
               (m = member_at(*object, hidden[i].value)) != NULL) {
            if (times++ == TIMES_MAX || !cut(*object, m, out, object)) {
                return false;
            }
        }
    }
    return true;
}
