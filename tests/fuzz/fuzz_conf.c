/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration text to a struct with a member of every type, by way of YAML (files) and JSON (rows of the store). What was
 * accepted must obey the table; nothing may leak. */
#include "kernel/base/str.h"
#include "kernel/conf/conf.h"

#include <stdlib.h>
#include <string.h>

struct all {
    bool flag;
    int64_t count;
    double ratio;
    const char *text;
    const char *colour;
    tn_secret secret;
    tn_dur wait;
    tn_bytes size;
    const char *must;
    int64_t old;
};
static const char *const colours[] = {"red", "green", NULL};
static const tn_field fields[] = {
    {TN_FIELD(struct all, flag), .dflt = "true", .doc = "A bool."},
    {TN_FIELD(struct all, count), .dflt = "5", .min = -10, .max = 10, .doc = "An int."},
    {TN_FIELD(struct all, ratio), .dflt = "0.5", .min = 0, .max = 1, .doc = "A float."},
    {TN_FIELD(struct all, text), .dflt = "", .max = 20, .doc = "A text."},
    {TN_FIELD(struct all, colour), .dflt = "red", .choices = colours, .doc = "A choice."},
    {TN_FIELD(struct all, secret), .doc = "A secret."},
    {TN_FIELD(struct all, wait), .dflt = "1s", .min = 1, .max = 60000, .doc = "A duration."},
    {TN_FIELD(struct all, size), .dflt = "64k", .doc = "A size."},
    {TN_FIELD(struct all, must), .flags = TN_F_REQUIRED, .doc = "Must be there."},
    {TN_FIELD(struct all, old), .dflt = "0", .flags = TN_F_DEPRECATED, .doc = "Use count."},
    {0},
};

static void need(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void bind(struct conf *c, struct conf_problems *p)
{
    static const char *const prefixes[] = {"", "connector.x."};
    for (size_t i = 0; i < c->n; i++) {
        char snake[256];
        need(c->items[i].value != NULL && c->items[i].where != NULL);
        need(conf_get(c, c->items[i].key) == &c->items[i]); /* keys are unique */
        conf_snake(c->items[i].key, snake, sizeof snake);
    }
    for (size_t i = 0; i < 2; i++) {
        struct all a = {0};
        unsigned before = p->errors;
        tn_rc rc = conf_bind(c, prefixes[i], fields, &a, p);
        need((rc == TN_OK) == (p->errors == before));
        if (rc == TN_OK) {
            need(a.count >= -10 && a.count <= 10 && a.ratio >= 0 && a.ratio <= 1);
            need(a.wait.ms >= 1 && a.wait.ms <= 60000 && a.size.n >= 0 && a.must != NULL);
            need(str_utf8_valid(str_of(a.text)) && str_utf8_len(str_of(a.text)) <= 20);
            need(strcmp(a.colour, "red") == 0 || strcmp(a.colour, "green") == 0);
        }
        conf_free(fields, &a);
    }
    need(p->text.len < 1 << 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tn_str text = {(const char *)data, size};
    struct conf yaml, json;
    struct conf_problems p = {.text = BUF_INIT(0)};
    tn_err err = TN_ERR_INIT;
    conf_init(&yaml);
    conf_init(&json);
    tn_rc rc = conf_read_text(&yaml, "fuzz", text, &p);
    need((rc == TN_OK) == (p.errors == 0));
    for (size_t i = 0; i < yaml.n; i++) {
        need(yaml.items[i].key[0] != '\0');
    }
    bind(&yaml, &p);
    if (conf_read_json(&json, "fuzz", text, &err) == TN_OK) {
        bind(&json, &p);
    } else {
        need(err.msg[0] != '\0');
    }
    conf_problems_finish(&p);
    conf_wipe(&json);
    conf_finish(&yaml);
    return 0;
}
