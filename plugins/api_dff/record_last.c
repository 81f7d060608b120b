/* SPDX-License-Identifier: Apache-2.0 */
/* The last outcome of each API and cron job. Kept in memory: one small entry for each id that was ever
 * called, and ids come from the snapshot, so there are as many as there are APIs. */
#include "record.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS     4096
#define ENTRIES_MAX 100000
#define TEXT_MAX    512

struct last {
    struct last *next;
    const char *status; /* literal */
    int64_t at_us;
    char *type, *text; /* of the exception, NULL = none */
    size_t n;
    char id[];
};
static struct last *buckets[BUCKETS];
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
    const char *status = r == NULL                          ? "started"
                         : r->status == TN_CALL_SUCCESS ? "success"
                                                        : "failure";
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
    }
    pthread_mutex_unlock(&lock);
    free(type);
    free(text);
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
