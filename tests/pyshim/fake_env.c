/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's environment without processes: answers code.get, env.get and sign from memory. */
#include "tests/pyshim/fake_env.h"

#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_env fake;

void fake_set(struct fake_item **list, const char *id, const char *text)
{
    struct fake_item *it = *list;
    while (it != NULL && strcmp(it->id, id) != 0) {
        it = it->next;
    }
    if (it == NULL) {
        it = calloc(1, sizeof(*it));
        it->id = strdup(id);
        it->next = *list;
        *list = it;
    }
    free(it->text);
    it->text = strdup(text);
}

static const char *find(const struct fake_item *list, const char *id)
{
    for (; list != NULL; list = list->next) {
        if (strcmp(list->id, id) == 0) {
            return list->text;
        }
    }
    return NULL;
}

static void clear(struct fake_item **list)
{
    while (*list != NULL) {
        struct fake_item *it = *list;
        *list = it->next;
        free(it->id);
        free(it->text);
        free(it);
    }
}

void fake_reset(void)
{
    clear(&fake.scripts);
    clear(&fake.vars);
    buf_clear(&fake.log);
}

/* The text member `key` of a flat JSON object without escapes. */
static void member(tn_str json, const char *key, char *out, size_t cap)
{
    char pattern[64];
    snprintf(pattern, sizeof(pattern), "\"%s\":\"", key);
    const char *p = memmem(json.s, json.n, pattern, strlen(pattern));
    size_t n = 0;
    if (p != NULL) {
        for (p += strlen(pattern); p < json.s + json.n && *p != '"' && n + 1 < cap; p++) {
            out[n++] = *p;
        }
    }
    out[n] = '\0';
}

static tn_rc fake_ask(void *ctx, const char *service, tn_str payload, struct buf *ret, tn_err *err)
{
    char id[128], have[64];
    const char *text;
    (void)ctx;
    if (strcmp(service, "code.get") == 0) {
        fake.asked_code++;
        member(payload, "script", id, sizeof(id));
        member(payload, "have", have, sizeof(have));
        if (strcmp(id, "zygote__compiled") == 0) {
            const char *kind = have[0] == '\0' ? "marshal" : strlen(have) == 32 ? "same" : "no MD5";
            buf_printf(ret, "{\"kind\":\"%s\",\"md5\":\"\",\"version\":1}\n", kind);
            if (!have[0]) {
                buf_addstr(ret, buf_str(&fake.compiled));
            }
            return TN_OK;
        }
        text = find(fake.scripts, id);
        if (text == NULL) {
            return err_set(err, TN_E_NOTFOUND, "no script %s", id);
        }
        buf_printf(ret, "{\"kind\":\"source\",\"md5\":\"\",\"version\":1}\n%s", text);
        return TN_OK;
    }
    if (strcmp(service, "env.get") == 0) {
        fake.asked_env++;
        member(payload, "id", id, sizeof(id));
        text = find(fake.vars, id);
        if (text == NULL) {
            return err_set(err, TN_E_NOTFOUND, "no variable %s", id);
        }
        buf_adds(ret, text);
        return TN_OK;
    }
    if (strcmp(service, "env.keys") == 0) {
        buf_addc(ret, '[');
        for (const struct fake_item *it = fake.vars; it; it = it->next) {
            buf_printf(ret, "%s\"%s\"", ret->len > 1 ? "," : "", it->id);
        }
        buf_addc(ret, ']');
        return TN_OK;
    }
    if (strcmp(service, "sign") == 0) {
        buf_printf(ret, "signed:%.*s", (int)payload.n, payload.s);
        return TN_OK;
    }
    return err_set(err, TN_E_UNSUPP, "unknown service %s", service);
}

static void fake_print(void *ctx, tn_str line)
{
    (void)ctx;
    buf_addstr(&fake.log, line);
    buf_addc(&fake.log, '\n');
}

static void fake_log(void *ctx, int level, const char *fmt, ...)
{
    va_list ap;
    (void)ctx;
    (void)level;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static const char *fake_setting(void *ctx, const char *name)
{
    (void)ctx;
    if (strcmp(name, "RESOURCE_ROOT_PATH") == 0) {
        return fake.resource_root;
    }
    return find(fake.settings, name);
}

const struct lang_env fake_lang_env = {
    .ctx = &fake, .ask = fake_ask, .print = fake_print, .log = fake_log, .setting = fake_setting};
