/* SPDX-License-Identifier: Apache-2.0 */
/* Items into a struct by its table. */
#include "kernel/conf/conf.h"

#include "kernel/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tn_field *row_of(const tn_field *fields, const char *name)
{
    for (; fields != NULL && fields->name != NULL; fields++) {
        if (strcmp(fields->name, name) == 0) {
            return fields;
        }
    }
    return NULL;
}

const char *conf_did_you_mean(const char *name, const tn_field *fields)
{
    const char *best = NULL;
    unsigned limit = (unsigned)strlen(name) / 3;
    unsigned best_distance = (limit < 2 ? 2 : limit) + 1;
    for (; fields != NULL && fields->name != NULL; fields++) {
        unsigned d = str_distance(name, fields->name);
        if (d < best_distance && d < strlen(fields->name)) {
            best = fields->name;
            best_distance = d;
        }
    }
    return best;
}

static void report_unknown(const struct conf *c, const char *prefix, const tn_field *fields,
                           struct conf_problems *p, unsigned *ret_bad)
{
    size_t n = strlen(prefix);
    for (size_t i = 0; i < c->n; i++) {
        const struct conf_item *it = &c->items[i];
        if (strncmp(it->key, prefix, n) != 0 || row_of(fields, it->key + n) != NULL ||
            (n == 0 && strchr(it->key, '.') != NULL)) {
            continue;
        }
        const char *meant = conf_did_you_mean(it->key + n, fields);
        if (meant != NULL) {
            conf_problem(p, it->where, it->key, "unknown setting; did you mean \"%s%s\"?", prefix,
                         meant);
        } else {
            conf_problem(p, it->where, it->key, "unknown setting; remove it or correct its name");
        }
        ++*ret_bad;
    }
}

static tn_rc bind_row(const struct conf *c, const char *prefix, const tn_field *f, void *out,
                      struct conf_problems *p)
{
    char key[512];
    snprintf(key, sizeof key, "%s%s", prefix, f->name);
    const struct conf_item *it = conf_get(c, key);
    tn_err err = TN_ERR_INIT;
    if (it == NULL || it->null) {
        if ((f->flags & TN_F_REQUIRED) != 0) {
            conf_problem(p, it != NULL ? it->where : NULL, key, "is required: %s",
                         f->doc != NULL ? f->doc : "give it a value");
            return TN_E_CONFIG;
        }
        if (f->dflt != NULL && conf_parse(f, str_of(f->dflt), out, &err) != TN_OK) {
            conf_problem(p, NULL, key, "the built-in default %s", err.msg);
            return TN_E_CONFIG;
        }
        return TN_OK;
    }
    if ((f->flags & TN_F_DEPRECATED) != 0) {
        conf_warning(p, it->where, key, "is deprecated: %s", f->doc != NULL ? f->doc : "");
    }
    const char *value = it->value;
    if (it->joined != NULL && (f->type == TN_C_STR || f->type == TN_C_SECRET)) {
        value = it->joined;
    }
    tn_rc rc = conf_parse(f, str_of(value), out, &err);
    if (rc != TN_OK) {
        conf_problem(p, it->where, key, "%s", err.msg);
    }
    return rc;
}

tn_rc conf_bind(const struct conf *c, const char *prefix, const tn_field *fields, void *out,
                struct conf_problems *p)
{
    unsigned bad = 0;
    for (const tn_field *f = fields; f != NULL && f->name != NULL; f++) {
        bad += bind_row(c, prefix, f, out, p) != TN_OK;
    }
    report_unknown(c, prefix, fields, p, &bad);
    return bad == 0 ? TN_OK : TN_E_CONFIG;
}

void conf_free(const tn_field *fields, void *out)
{
    for (const tn_field *f = fields; f != NULL && f->name != NULL && out != NULL; f++) {
        if (f->type != TN_C_STR && f->type != TN_C_SECRET) {
            continue;
        }
        char **member = (char **)(void *)((char *)out + f->offset);
        if (*member != NULL && f->type == TN_C_SECRET) {
            explicit_bzero(*member, strlen(*member));
        }
        free(*member);
        *member = NULL;
    }
}
