/* SPDX-License-Identifier: Apache-2.0 */
/* Takes members that were credentials out of a JSON object, as text: numbers stay what they were. */
#include "call.h"

#define TIMES_MAX 16 /* every one is another pass over the text */

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
               (m = tn_json_at(api.host->json, *object, hidden[i].value, calls.scratch.members,
                               SCRATCH_MEMBERS)) != NULL) {
            if (times++ == TIMES_MAX || !cut(*object, m, out, object)) {
                return false;
            }
        }
    }
    return true;
}
