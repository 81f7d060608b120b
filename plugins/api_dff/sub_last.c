/* SPDX-License-Identifier: Apache-2.0 */
/* The last message of each outcome, by connector, topic and function (spec 4.17). In memory: as many
 * entries as there are subscriptions, each bounded; a restart forgets them. */
#include "record.h"
#include "sub.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CTX      api.host->ctx
#define TEXT_MAX 4096 /* bytes of a message or result that are kept */
#define KEYS_MAX 10000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static json_t *last; /* (lock) connector -> "topic\nfunction" -> status -> JSON text */

static tn_str member(tn_str object, const char *name)
{
    tn_json_member m[16];
    uint32_t kind, n = 0;
    if (object.n > 0 && api.host->json->scan(object, &kind, m, 16, &n, NULL) == TN_OK) {
        for (uint32_t i = 0; i < n && i < 16; i++) {
            if (text_is(m[i].key, name)) {
                return m[i].value;
            }
        }
    }
    return (tn_str){NULL, 0};
}

/* A raw JSON value; what is longer becomes the beginning of its text. */
static void add_value(struct str *out, tn_str raw)
{
    if (raw.n == 0) {
        str_puts(out, "null");
    } else if (raw.n <= TEXT_MAX) {
        str_text(out, raw);
    } else {
        size_t cap = raw.n, n;
        char *text = malloc(cap);
        if (text == NULL || raw.s[0] != '"') {
            str_printf(out, "\"(%zu bytes)\"", raw.n);
        } else {
            n = api.host->json->unquote(raw, text, cap);
            n = n < TEXT_MAX ? n : TEXT_MAX;
            while (n > 0 && n == TEXT_MAX && ((unsigned char)text[n] & 0xC0) == 0x80) {
                n--;
            }
            str_quote_any(out, (tn_str){text, n});
        }
        free(text);
    }
}

static void add_response(struct str *out, const tn_task_info *t, const tn_call_result *r,
                         const char *status)
{
    str_puts(out, "{\"id\":");
    str_quote_any(out, t->id);
    str_printf(out, ",\"status\":\"%s\",\"result\":", status);
    if (r == NULL || r->value_fd >= 0 || r->value.n == 0 || r->value_kind == TN_VALUE_NONE) {
        str_puts(out, "null");
    } else if (r->value_kind == TN_VALUE_TEXT) {
        tn_str s = r->value;
        s.n = s.n < TEXT_MAX ? s.n : TEXT_MAX;
        str_quote_any(out, s);
    } else {
        add_value(out, r->value);
    }
    str_printf(out, ",\"costMs\":%lld}", r != NULL ? (long long)r->cost_us / 1000 : 0);
}

static json_t *inner(json_t *o, const char *key)
{
    json_t *found = json_object_get(o, key);
    if (found == NULL && json_object_size(o) < KEYS_MAX) {
        found = json_object();
        json_object_set_new(o, key, found);
    }
    return found;
}

static void keep(const tn_task_info *t, tn_str topic, const char *status, tn_str text)
{
    char *connector = text_dup(t->origin_id), *name = malloc(topic.n + 1);
    struct str key = {0};
    if (connector != NULL && name != NULL) {
        size_t n = api.host->json->unquote(topic, name, topic.n);
        str_text(&key, (tn_str){name, n});
        str_char(&key, '\n');
        str_text(&key, t->script);
        str_char(&key, '.');
        str_text(&key, t->func);
    }
    if (key.n > 0 && !key.failed) {
        pthread_mutex_lock(&lock);
        json_t *all = inner(last, connector), *one = all != NULL ? inner(all, key.s) : NULL;
        if (one != NULL) {
            json_object_set_new(one, status, json_stringn(text.s, text.n));
        }
        pthread_mutex_unlock(&lock);
    }
    str_free(&key);
    free(connector);
    free(name);
}

/* Loop thread, at the end of every task. */
static void on_task(void *user, const tn_task_info *t, const tn_call_result *r)
{
    const char *status = record_state_name(t->state);
    struct str text = {0};
    (void)user;
    if (status == NULL || !text_is(t->origin, "connector")) {
        return;
    }
    tn_str topic = member(t->label, "topic");
    if (topic.n == 0 || topic.s[0] != '"') {
        return; /* called by a handler, not by a message */
    }
    str_puts(&text, "{\"funcId\":");
    struct str func = {0};
    str_text(&func, t->script);
    str_char(&func, '.');
    str_text(&func, t->func);
    str_quote_any(&text, str_view(&func));
    str_free(&func);
    str_printf(&text, ",\"timestampMs\":%lld,\"message\":", (long long)api.host->wall_us() / 1000);
    add_value(&text, member(t->args, "message"));
    str_puts(&text, ",\"taskResp\":");
    add_response(&text, t, r, status);
    str_puts(&text, ",\"error\":");
    add_value(&text, r != NULL ? member(r->error, "exception") : (tn_str){NULL, 0});
    str_char(&text, '}');
    if (!text.failed) {
        keep(t, topic, status, str_view(&text));
    }
    str_free(&text);
}

json_t *sub_last_get(const char *connector, const char *topic, const char *func)
{
    struct str key = {0};
    const char *status;
    json_t *text, *out = NULL;
    str_printf(&key, "%s\n%s", topic, func);
    pthread_mutex_lock(&lock);
    json_t *one = key.failed ? NULL : json_object_get(json_object_get(last, connector), key.s);
    if (one != NULL) {
        out = json_object();
        json_object_foreach(one, status, text)
        {
            json_object_set_new(out, status,
                                json_loadb(json_string_value(text), json_string_length(text),
                                           JSON_ALLOW_NUL, NULL)); /* a message may hold a zero */
        }
    }
    pthread_mutex_unlock(&lock);
    str_free(&key);
    return out;
}

void sub_last_drop(const char *connector)
{
    pthread_mutex_lock(&lock);
    json_object_del(last, connector);
    pthread_mutex_unlock(&lock);
}

tn_rc sub_last_start(tn_err *err)
{
    last = json_object();
    if (last == NULL) {
        return api.host->fail(err, TN_E_NOMEM, "no memory for last results");
    }
    return api.host->tasks != NULL ? api.host->tasks->listen(CTX, on_task, NULL, err) : TN_OK;
}
