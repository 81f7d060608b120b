/* SPDX-License-Identifier: Apache-2.0 */
/* The last outcome of each API and cron job. In memory: one small entry for each id that was ever called,
 * and ids come from the snapshot, so there are as many as there are APIs. record_keep.c carries them over
 * a restart. */
#include "record.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS     4096
#define ENTRIES_MAX 100000
#define TEXT_MAX    512

static const char *const statuses[] = {"started", "success", "failure"};

struct last {
    struct last *next;
    struct last *changed; /* the next that is to be kept */
    bool dirty;           /* it is in that list */
    const char *status;   /* literal */
    int64_t at_us;
    char *type, *text; /* of the exception, NULL = none */
    size_t n;
    char id[];
};
static struct last *buckets[BUCKETS];
static struct last *changes;
static size_t entries;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static size_t bucket_of(tn_str id)
{
    uint32_t h = 2166136261u; /* FNV-1a; ids are ours, not an attacker's */
    for (size_t i = 0; i < id.n; i++) {
        h = (h ^ (unsigned char)id.s[i]) * 16777619u;
    }
    return h % BUCKETS;
}

static struct last *find(tn_str id)
{
    struct last *l = buckets[bucket_of(id)];
    while (l != NULL && (l->n != id.n || memcmp(l->id, id.s, id.n) != 0)) {
        l = l->next;
    }
    return l;
}

static struct last *find_or_add(tn_str id)
{
    struct last *l = find(id);
    if (l == NULL && entries < ENTRIES_MAX && (l = calloc(1, sizeof *l + id.n)) != NULL) {
        size_t b = bucket_of(id);
        memcpy(l->id, id.s, id.n);
        l->n = id.n;
        l->next = buckets[b];
        buckets[b] = l;
        entries++;
    }
    return l;
}

/* Holds the lock. */
static void mark(struct last *l)
{
    if (!l->dirty) {
        l->dirty = true;
        l->changed = changes;
        changes = l;
    }
}

/* One text member of an error report, unescaped and cut; NULL when there is none. */
static char *error_text(tn_str error, const char *name)
{
    tn_json_member m[16];
    uint32_t kind, n = 0;
    if (error.n == 0 || api.host->json->scan(error, &kind, m, 16, &n, NULL) != TN_OK) {
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (text_is(m[i].key, name) && m[i].kind == TN_JSON_STRING) {
            char *text = malloc(m[i].value.n + 1);
            if (text != NULL) {
                size_t len = api.host->json->unquote(m[i].value, text, m[i].value.n);
                len = len > TEXT_MAX ? TEXT_MAX : len;
                while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80 && len == TEXT_MAX) {
                    len--;
                }
                text[len] = '\0';
            }
            return text;
        }
    }
    return NULL;
}

void record_last(tn_str origin_id, const tn_call_result *r)
{
    const char *status = statuses[r == NULL ? 0 : r->status == TN_CALL_SUCCESS ? 1 : 2];
    char *type = NULL, *text = NULL;
    if (r != NULL && r->status != TN_CALL_SUCCESS) {
        type = error_text(r->error, "exceptionType");
        text = error_text(r->error, "exception");
    }
    pthread_mutex_lock(&lock);
    struct last *l = find_or_add(origin_id);
    if (l != NULL) {
        char *old_type = l->type, *old_text = l->text;
        l->status = status;
        l->at_us = r != NULL && r->end_us != 0 ? r->end_us : api.host->wall_us();
        l->type = type;
        l->text = text;
        type = old_type;
        text = old_text;
        mark(l);
    }
    pthread_mutex_unlock(&lock);
    free(type);
    free(text);
    record_keep();
}

json_t *record_last_take(void)
{
    json_t *row = NULL;
    pthread_mutex_lock(&lock);
    struct last *l = changes;
    if (l != NULL) {
        changes = l->changed;
        l->dirty = false;
        row = json_pack("{s:s%, s:s, s:I, s:s?, s:s?}", "id", l->id, l->n, "status", l->status,
                        "atUs", (json_int_t)l->at_us, "exceptionType", l->type, "exceptionTEXT",
                        l->text);
    }
    pthread_mutex_unlock(&lock);
    return row;
}

void record_last_again(tn_str origin_id)
{
    pthread_mutex_lock(&lock);
    struct last *l = find(origin_id);
    if (l != NULL) {
        mark(l);
    }
    pthread_mutex_unlock(&lock);
}

bool record_last_waits(void)
{
    pthread_mutex_lock(&lock);
    bool waits = changes != NULL;
    pthread_mutex_unlock(&lock);
    return waits;
}

static char *copy_of(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text != NULL ? strdup(text) : NULL;
}

void record_last_put(const json_t *row)
{
    const char *id = json_string_value(json_object_get(row, "id"));
    const char *status = json_string_value(json_object_get(row, "status"));
    pthread_mutex_lock(&lock);
    struct last *l = id != NULL ? find_or_add(text_of(id)) : NULL;
    for (size_t i = 0; l != NULL && l->status == NULL && i < sizeof statuses / sizeof *statuses;
         i++) {
        if (status != NULL && strcmp(status, statuses[i]) == 0) {
            l->status = statuses[i];
            l->at_us = json_integer_value(json_object_get(row, "atUs"));
            l->type = copy_of(row, "exceptionType");
            l->text = copy_of(row, "exceptionTEXT");
        }
    }
    pthread_mutex_unlock(&lock);
}

json_t *record_last_get(tn_str origin_id)
{
    json_t *v = NULL;
    pthread_mutex_lock(&lock);
    const struct last *l = find(origin_id);
    if (l != NULL && l->status != NULL) {
        v = json_pack("{s:s, s:I}", "status", l->status, "timestamp",
                      (json_int_t)(l->at_us / 1000000));
        if (l->type != NULL) {
            json_object_set_new(v, "exceptionType", json_string(l->type));
        }
        if (l->text != NULL) {
            json_object_set_new(v, "exceptionTEXT", json_string(l->text));
        }
    }
    pthread_mutex_unlock(&lock);
    return v != NULL ? v : json_null();
}
