/* SPDX-License-Identifier: Apache-2.0 */
/* The table of schedules and the heap of what comes next. */
#include "wheel.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

void wheel_init(struct wheel *w, int64_t late_us, int64_t now_us)
{
    *w = (struct wheel){.late_us = late_us, .started_us = now_us};
}

static void sched_free(void *p)
{
    struct sched *s = p;
    free(s->id);
    free(s);
}

void wheel_finish(struct wheel *w)
{
    tdestroy(w->tree, sched_free);
    free(w->heap);
    *w = (struct wheel){0};
}

/* ---- heap ------------------------------------------------------------------------------------ */
static void place(struct wheel *w, size_t pos, struct wheel_node node)
{
    w->heap[pos] = node;
    node.s->pos = pos;
}

/* Moves a node from the hole at pos to where it belongs. */
static void sift(struct wheel *w, size_t pos, struct wheel_node node)
{
    while (pos > 1 && node.due_us < w->heap[pos / 2].due_us) {
        place(w, pos, w->heap[pos / 2]);
        pos /= 2;
    }
    for (size_t child; (child = pos * 2) <= w->n; pos = child) {
        child += child < w->n && w->heap[child + 1].due_us < w->heap[child].due_us;
        if (w->heap[child].due_us >= node.due_us) {
            break;
        }
        place(w, pos, w->heap[child]);
    }
    place(w, pos, node);
}

static void unheap(struct wheel *w, struct sched *s)
{
    size_t pos = s->pos;
    if (pos != 0) {
        struct wheel_node last = w->heap[w->n--];
        s->pos = 0;
        if (last.s != s) {
            sift(w, pos, last);
        }
    }
}

/* Room for one more, so that wheel_take() never needs memory. */
static bool heap_room(struct wheel *w)
{
    if (w->count + 2 > w->cap) {
        size_t cap = w->cap != 0 ? w->cap * 2 : 64;
        struct wheel_node *heap = realloc(w->heap, cap * sizeof *heap);
        if (heap == NULL) {
            return false;
        }
        w->heap = heap;
        w->cap = cap;
    }
    return true;
}

/* Finds what comes after the cursor and puts the schedule where it belongs. */
static void reckon(struct wheel *w, struct sched *s)
{
    int64_t next;
    if (!s->valid || !occur_next(&s->expr, s->zone, s->cursor, &next) ||
        (s->expires_us != 0 && next * US > s->expires_us)) {
        unheap(w, s);
        return;
    }
    s->next = next;
    size_t pos = s->pos != 0 ? s->pos : ++w->n;
    sift(w, pos, (struct wheel_node){next * US + s->spread_us, s});
}

/* ---- table ----------------------------------------------------------------------------------- */
static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct sched *)a)->id, ((const struct sched *)b)->id);
}

static struct sched **find(struct wheel *w, const char *id)
{
    struct sched key = {.id = (char *)(uintptr_t)id};
    return tfind(&key, &w->tree, by_id);
}

/* Microseconds below spread_s, the same for an id always, evenly spread (FNV-1a) over whole milliseconds:
 * by seconds, each second would begin with a burst. */
static int64_t share(tn_str id, uint32_t spread_s)
{
    uint64_t h = 14695981039346656037ull;
    for (size_t i = 0; i < id.n; i++) {
        h = (h ^ (uint8_t)id.s[i]) * 1099511628211ull;
    }
    return spread_s != 0 ? (int64_t)((h >> 16) % (spread_s * 1000ull)) * 1000 : 0;
}

static int64_t seconds(int64_t us)
{
    return us >= 0 ? us / US : -((-us + US - 1) / US);
}

static struct sched *sched_new(struct wheel *w, const char *id)
{
    struct sched *s = calloc(1, sizeof *s);
    if (s == NULL || (s->id = strdup(id)) == NULL || !heap_room(w) ||
        tsearch(s, &w->tree, by_id) == NULL) {
        if (s != NULL) {
            sched_free(s);
        }
        return NULL;
    }
    s->id_len = strlen(id);
    w->count++;
    return s;
}

tn_rc wheel_put(struct wheel *w, const tn_schedule *in, const struct cron_expr *expr,
                const struct zone *zone)
{
    char id[WHEEL_ID_MAX + 1];
    if (in->id.n == 0 || in->id.n > WHEEL_ID_MAX || memchr(in->id.s, '\0', in->id.n) != NULL) {
        return TN_E_INVAL;
    }
    memcpy(id, in->id.s, in->id.n);
    id[in->id.n] = '\0';
    struct sched **known = find(w, id);
    struct sched *s = known != NULL ? *known : sched_new(w, id);
    if (s == NULL) {
        return TN_E_NOMEM;
    }
    s->valid = expr != NULL && zone != NULL && (in->flags & TN_SCHED_DISABLED) == 0;
    if (expr != NULL) {
        s->expr = *expr;
    }
    s->zone = zone;
    s->catchup = in->catchup;
    s->window_s = in->catchup_window_s != 0 ? in->catchup_window_s : 86400;
    s->spread_us = share(in->id, in->spread_s);
    s->paused_until_us = in->paused_until_us;
    s->expires_us = in->expires_us;
    s->cursor = seconds(in->cursor_us);
    s->catch_to = INT64_MIN;
    reckon(w, s);
    return TN_OK;
}

void wheel_drop(struct wheel *w, tn_str id)
{
    char name[WHEEL_ID_MAX + 1];
    if (id.n > WHEEL_ID_MAX) {
        return;
    }
    memcpy(name, id.s, id.n);
    name[id.n] = '\0';
    struct sched **known = find(w, name);
    if (known != NULL) {
        struct sched *s = *known;
        unheap(w, s);
        tdelete(s, &w->tree, by_id);
        sched_free(s);
        w->count--;
    }
}

/* ---- taking ---------------------------------------------------------------------------------- */
static tn_str text_add(struct wheel_batch *b, const char *s, size_t n)
{
    char *at = b->text + b->used;
    memcpy(at, s, n);
    b->used += (uint32_t)n;
    return (tn_str){at, n};
}

void wheel_emit(struct wheel *w, struct sched *s, struct wheel_batch *b, uint32_t outcome,
                const char *reason)
{
    b->fires[b->n++] = (tn_fire){
        .id = text_add(b, s->id, s->id_len),
        .occurrence_us = s->next * US,
        .due_us = s->next * US + s->spread_us,
        .outcome = outcome,
        .reason = reason != NULL ? text_add(b, reason, strlen(reason)) : (tn_str){NULL, 0},
    };
    w->by_outcome[outcome]++;
}

void wheel_advance(struct wheel *w, struct sched *s, int64_t cursor)
{
    s->cursor = cursor;
    reckon(w, s);
}

bool wheel_take(struct wheel *w, int64_t now_us, struct wheel_batch *b)
{
    while (wheel_due(w) <= now_us) {
        /* The longest id and two texts fit, or the batch is full. */
        if (b->n == WHEEL_BATCH || b->used + WHEEL_ID_MAX + 400 > sizeof b->text) {
            return true;
        }
        wheel_decide(w, w->heap[1].s, now_us, b);
    }
    return false;
}
