/* SPDX-License-Identifier: Apache-2.0 */
/* Recording and playing results. */
#include "common/tape.h"

#include "common/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { VALUE, LIST, MAP, KEY, LIST_END, MAP_END };

struct tape_step {
    uint8_t what;
    tn_val v;  /* of texts only type, flags and n */
    size_t at; /* where the text begins */
};

void tape_init(struct tape *t, size_t max)
{
    *t = (struct tape){.max = max};
}

void tape_finish(struct tape *t)
{
    free(t->steps);
    free(t->text);
    *t = (struct tape){.steps = NULL};
}

struct tape *tape_new(const tn_host *host, size_t max, tn_err *err)
{
    struct tape *t = malloc(sizeof *t);
    if (t == NULL) {
        host->fail(err, TN_E_NOMEM, "no memory for the result");
        return NULL;
    }
    tape_init(t, max);
    return t;
}

void tape_free(struct tape *t)
{
    if (t != NULL) {
        tape_finish(t);
        free(t);
    }
}

static bool affords(struct tape *t, size_t more)
{
    if (t->rc == TN_OK && more > t->max - (t->used < t->max ? t->used : t->max)) {
        t->rc = TN_E_LIMIT;
    }
    return t->rc == TN_OK;
}

static struct tape_step *step(struct tape *t, uint8_t what)
{
    if (!affords(t, ((size_t)t->n + 1) * sizeof(struct tape_step))) {
        return NULL;
    }
    if (t->n == t->cap) {
        uint32_t cap = t->cap * 2 + 8;
        struct tape_step *more = realloc(t->steps, cap * sizeof *more);
        if (more == NULL) {
            t->rc = TN_E_NOMEM;
            return NULL;
        }
        t->steps = more;
        t->cap = cap;
    }
    t->steps[t->n] = (struct tape_step){.what = what};
    return &t->steps[t->n++];
}

static void value(struct tape *t, tn_val v)
{
    struct tape_step *s = step(t, VALUE);
    if (s != NULL) {
        s->v = v;
    }
}

void tape_null(struct tape *t)
{
    value(t, (tn_val){.type = TN_T_NULL});
}

void tape_bool(struct tape *t, bool b)
{
    value(t, (tn_val){.type = TN_T_BOOL, .u.i = b});
}

void tape_int(struct tape *t, int64_t i)
{
    value(t, (tn_val){.type = TN_T_INT, .u.i = i});
}

static void text(struct tape *t, uint8_t what, tn_val v, const char *from)
{
    if (!affords(t, (size_t)t->n * sizeof(struct tape_step) + v.n)) {
        return;
    }
    if (t->text == NULL || t->used + v.n > t->room) {
        size_t room = (t->used + v.n) * 3 / 2 + 64;
        char *more = realloc(t->text, room);
        if (more == NULL) {
            t->rc = TN_E_NOMEM;
            return;
        }
        t->text = more;
        t->room = room;
    }
    struct tape_step *s = step(t, what);
    if (s != NULL) {
        s->v = v;
        s->at = t->used;
        if (v.n != 0) {
            memcpy(t->text + t->used, from, v.n);
        }
        t->used += v.n;
    }
}

void tape_text(struct tape *t, uint8_t type, uint8_t flags, const char *s, size_t n)
{
    if (n > UINT32_MAX) {
        t->rc = t->rc == TN_OK ? TN_E_LIMIT : t->rc;
        return;
    }
    text(t, VALUE, (tn_val){.type = type, .flags = flags, .n = (uint32_t)n}, s);
}

void tape_str(struct tape *t, const char *s, size_t n)
{
    tape_text(t, utf8_valid(s, n) ? TN_T_STR : TN_T_BYTES, 0, s, n);
}

/* The innermost list or map that is open, plus one; 0: none. */
static size_t open_one(const struct tape *t)
{
    size_t depth = 0;
    for (size_t i = t->n; i > 0; i--) {
        uint8_t what = t->steps[i - 1].what;
        if (what == LIST_END || what == MAP_END) {
            depth++;
        } else if (what == LIST || what == MAP) {
            if (depth == 0) {
                return i;
            }
            depth--;
        }
    }
    return 0;
}

void tape_list(struct tape *t)
{
    step(t, LIST);
}

void tape_map(struct tape *t)
{
    step(t, MAP);
}

void tape_key(struct tape *t, const char *s, size_t n)
{
    text(t, KEY, (tn_val){.type = TN_T_STR, .n = n < UINT32_MAX ? (uint32_t)n : 0}, s);
}

void tape_end(struct tape *t)
{
    size_t i = open_one(t);
    if (i != 0) {
        step(t, t->steps[i - 1].what == LIST ? LIST_END : MAP_END);
    }
}

void tape_value(struct tape *t, const tn_val *v)
{
    if (v->type == TN_T_LIST) {
        tape_list(t);
        for (uint32_t i = 0; i < v->n; i++) {
            tape_value(t, &v->u.list[i]);
        }
        tape_end(t);
    } else if (v->type == TN_T_MAP) {
        tape_map(t);
        for (uint32_t i = 0; i < v->n; i++) {
            const tn_val *key = &v->u.map[i].key;
            bool text_key = key->type == TN_T_STR;
            tape_key(t, text_key ? key->u.s : "", text_key ? key->n : 0);
            tape_value(t, &v->u.map[i].val);
        }
        tape_end(t);
    } else if (v->type == TN_T_STR || v->type == TN_T_BYTES || v->type == TN_T_DECIMAL) {
        tape_text(t, v->type, v->flags, v->u.s, v->n);
    } else {
        value(t, *v);
    }
}

bool tape_is_null(const struct tape *t)
{
    return t->n == 0 || (t->n == 1 && t->steps[0].what == VALUE && t->steps[0].v.type == TN_T_NULL);
}

tn_rc tape_judge(const struct tape *t, const tn_host *host, tn_err *err)
{
    if (t->rc == TN_E_LIMIT) {
        return host->fail(
            err, TN_E_LIMIT,
            "the result is larger than max_result (%zu bytes); ask for less at a time", t->max);
    }
    return t->rc == TN_OK ? TN_OK : host->fail(err, t->rc, "no memory for the result");
}

tn_rc tape_play(const struct tape *t, tn_sink *sink)
{
    const tn_val none = {.type = TN_T_NULL};
    tn_rc rc = t->n == 0 ? sink->ops->scalar(sink, &none) : TN_OK;
    for (uint32_t i = 0; rc == TN_OK && i < t->n; i++) {
        const struct tape_step *s = &t->steps[i];
        tn_val v = s->v;
        if (v.type == TN_T_STR || v.type == TN_T_BYTES || v.type == TN_T_DECIMAL) {
            v.u.s = t->text + s->at;
        }
        switch (s->what) {
        case LIST:
            rc = sink->ops->list_begin(sink, -1);
            break;
        case MAP:
            rc = sink->ops->map_begin(sink, -1);
            break;
        case KEY:
            rc = sink->ops->key(sink, v.u.s, v.n);
            break;
        case LIST_END:
            rc = sink->ops->list_end(sink);
            break;
        case MAP_END:
            rc = sink->ops->map_end(sink);
            break;
        default:
            rc = sink->ops->scalar(sink, &v);
        }
    }
    return rc;
}

tn_rc tape_emit(void *inst, const tn_result *r, tn_sink *sink, tn_err *err)
{
    (void)inst, (void)err;
    return tape_play(r->native, sink);
}

void tape_result_free(void *inst, tn_result *r)
{
    (void)inst;
    tape_free(r->native);
    r->native = NULL;
}
