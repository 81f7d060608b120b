/* SPDX-License-Identifier: Apache-2.0 */
/* Is a descriptor what the contract promises? Every refusal names the member and both values.
 *
 * Copies are min(theirs, ours) into zeroed memory: a plugin of a later minor has members that we do
 * not know, one of an earlier minor lacks members that then read as absent. */
#include "kernel/plug/plug.h"

#include "kernel/base/err.h"
#include "kernel/base/str.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_TABLE 65536u /* larger than any table will grow; a sign of garbage */
#define CONF_SIZE_MAX  (64u << 10)
#define INST_SIZE_MAX  (16u << 20)
#define ROWS_MAX       4096
#define DESC_SIZE_1_0  ((uint32_t)(offsetof(tn_plugin, ops) + sizeof(void *)))

struct op {
    const char *name;
    uint32_t offset;
    int must;
};
#define MUST(T, m)                                                                                 \
    {                                                                                              \
#m, (uint32_t)offsetof(T, m), 1                                                            \
    }

static const struct op connector_ops[] = {
    MUST(tn_connector_ops, methods),
    MUST(tn_connector_ops, open),
    MUST(tn_connector_ops, check),
    MUST(tn_connector_ops, reset),
    MUST(tn_connector_ops, close),
    MUST(tn_connector_ops, invoke),
    MUST(tn_connector_ops, emit),
    MUST(tn_connector_ops, result_free),
    {0},
};
static const struct op auth_ops[] = {
    MUST(tn_auth_ops, check),
    MUST(tn_auth_ops, challenge),
    {0},
};
static const struct op trigger_ops[] = {
    {0}, /* by its capabilities: check_trigger() */
};
static const struct op frontend_ops[] = {
    MUST(tn_frontend_ops, start),
    MUST(tn_frontend_ops, drain),
    MUST(tn_frontend_ops, active),
    MUST(tn_frontend_ops, stop),
    MUST(tn_frontend_ops, reply),
    MUST(tn_frontend_ops, release),
    {0},
};
static const struct op api_ops[] = {
    MUST(tn_api_ops, prefixes),
    MUST(tn_api_ops, routes),
    MUST(tn_api_ops, refuse),
    {0},
};

static const struct kind {
    const char *name, *type;
    uint32_t size; /* of our table */
    const struct op *ops;
} kinds[TN_KINDS] = {
    [TN_KIND_CONNECTOR] = {"connector", "tn_connector_ops", sizeof(tn_connector_ops),
                           connector_ops},
    [TN_KIND_AUTH] = {"auth", "tn_auth_ops", sizeof(tn_auth_ops), auth_ops},
    [TN_KIND_TRIGGER] = {"trigger", "tn_trigger_ops", sizeof(tn_trigger_ops), trigger_ops},
    [TN_KIND_FRONTEND] = {"frontend", "tn_frontend_ops", sizeof(tn_frontend_ops), frontend_ops},
    [TN_KIND_API] = {"api", "tn_api_ops", sizeof(tn_api_ops), api_ops},
};

const char *plug_kind_name(uint32_t kind)
{
    return kind < TN_KINDS && kinds[kind].name != NULL ? kinds[kind].name : "unknown";
}

static int good_name(const char *s)
{
    size_t n = strnlen(s, 33);
    return n >= 1 && n <= 32 && s[0] >= 'a' && s[0] <= 'z' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") >= n;
}

/* One line of printable UTF-8. */
static int good_line(const char *s, size_t max)
{
    size_t n = strnlen(s, max + 1);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7F) {
            return 0;
        }
    }
    return n >= 1 && n <= max && str_utf8_valid((tn_str){s, n});
}

static tn_rc check_texts(const tn_plugin *d, tn_err *err)
{
    if (d->name == NULL || !good_name(d->name)) {
        return err_set(err, TN_E_INVAL, "name is \"%.40s\", expected [a-z][a-z0-9_]{0,31}",
                       d->name != NULL ? d->name : "(null)");
    }
    if (d->version == NULL || !good_line(d->version, 32)) {
        return err_set(err, TN_E_INVAL,
                       "version is \"%.40s\", expected 1 to 32 printable characters",
                       d->version != NULL ? d->version : "(null)");
    }
    if (d->summary == NULL || !good_line(d->summary, 200)) {
        return err_set(err, TN_E_INVAL,
                       "summary is \"%.40s\", expected one line of 1 to 200 characters",
                       d->summary != NULL ? d->summary : "(null)");
    }
    return TN_OK;
}

static tn_rc check_head(const tn_plugin *t, tn_err *err)
{
    if (t->magic != TN_MAGIC) {
        return err_set(err, TN_E_UNSUPP, "magic is 0x%08x, expected 0x%08x: not a Tenon plugin",
                       t->magic, TN_MAGIC);
    }
    if (t->abi_major != TN_ABI_MAJOR) {
        return err_set(err, TN_E_UNSUPP,
                       "abi_major is %u, this kernel has %u: build the plugin with headers of %u.x",
                       t->abi_major, TN_ABI_MAJOR, TN_ABI_MAJOR);
    }
    if (t->size < DESC_SIZE_1_0 || t->size > SIZE_MAX_TABLE) {
        return err_set(err, TN_E_UNSUPP, "size is %u, expected %u to %u", t->size, DESC_SIZE_1_0,
                       SIZE_MAX_TABLE);
    }
    if (t->kind == 0 || t->kind >= TN_KINDS) {
        return err_set(err, TN_E_UNSUPP, "kind is %u, this kernel knows 1 to %u", t->kind,
                       TN_KINDS - 1);
    }
    return TN_OK;
}

static tn_rc check_methods(const tn_method *m, tn_err *err)
{
    for (const tn_method *a = m; a->name != NULL; a++) {
        if (a - m >= ROWS_MAX) {
            return err_set(err, TN_E_INVAL, "methods has more than %d rows; does it end with {0}?",
                           ROWS_MAX);
        }
        if (!good_line(a->name, 64) || a->args == NULL || a->doc == NULL || *a->doc == '\0') {
            return err_set(err, TN_E_INVAL, "methods[%d] \"%.64s\" needs a name, args and doc",
                           (int)(a - m), a->name);
        }
        for (const tn_method *b = m; b < a; b++) {
            if (strcmp(a->name, b->name) == 0 || a->id == b->id) {
                return err_set(err, TN_E_INVAL, "methods %.64s (id %u) and %.64s (id %u) collide",
                               b->name, b->id, a->name, a->id);
            }
        }
    }
    return TN_OK;
}

static tn_rc check_routes(const tn_route *routes, tn_err *err)
{
    for (const tn_route *r = routes; r->method != NULL; r++) {
        if (r - routes >= ROWS_MAX) {
            return err_set(err, TN_E_INVAL, "routes has more than %d rows; does it end with {0}?",
                           ROWS_MAX);
        }
        if (r->path == NULL || r->path[0] != '/' || r->permission == NULL || r->handler == NULL) {
            return err_set(err, TN_E_INVAL,
                           "route %.16s %.200s needs a path from \"/\" on, a permission "
                           "and a handler",
                           r->method, r->path != NULL ? r->path : "(null)");
        }
    }
    return TN_OK;
}

static tn_rc check_trigger(const tn_plugin *d, const tn_trigger_ops *ops, tn_err *err)
{
    int subscribes = (d->caps & TN_CAP_SUBSCRIBE) != 0;
    uint32_t size; /* the plugin's own; ops is a copy that has all members */
    memcpy(&size, d->ops, sizeof size);
    if (ops->run == NULL && (!subscribes || (d->caps & TN_CAP_SCHEDULE) != 0)) {
        return err_set(err, TN_E_INVAL,
                       "ops.run is missing (ops.size is %u); trigger plugins need it unless they "
                       "only have TN_CAP_SUBSCRIBE",
                       size);
    }
    if (subscribes && (ops->consume == NULL || ops->sub_config == NULL)) {
        return err_set(err, TN_E_INVAL, "caps has TN_CAP_SUBSCRIBE but ops.%s is missing",
                       ops->consume == NULL ? "consume" : "sub_config");
    }
    if (subscribes && ops->sub_conf_size > CONF_SIZE_MAX) {
        return err_set(err, TN_E_LIMIT, "ops.sub_conf_size is %u, at most %u", ops->sub_conf_size,
                       CONF_SIZE_MAX);
    }
    return subscribes ? conf_check_table(ops->sub_config, ops->sub_conf_size, err) : TN_OK;
}

/* Copies the ops table of the kind and checks that what must be there is. */
static tn_rc copy_ops(const tn_plugin *d, void **ret, tn_err *err)
{
    const struct kind *k = &kinds[d->kind];
    uint32_t size;
    if (d->ops == NULL) {
        return err_set(err, TN_E_INVAL, "ops is NULL, expected a %s", k->type);
    }
    memcpy(&size, d->ops, sizeof size);
    if (size < 2 * sizeof(uint32_t) || size > SIZE_MAX_TABLE) {
        return err_set(err, TN_E_UNSUPP,
                       "ops.size is %u, expected %u (sizeof(%s)) or what a later minor "
                       "made of it",
                       size, k->size, k->type);
    }
    char *copy = calloc(1, k->size);
    if (copy == NULL) {
        return err_set(err, TN_E_NOMEM, "out of memory");
    }
    memcpy(copy, d->ops, size < k->size ? size : k->size);
    memcpy(copy, &k->size, sizeof k->size); /* the copy has all of our members */
    for (const struct op *op = k->ops; op->name != NULL; op++) {
        void *member;
        memcpy(&member, copy + op->offset, sizeof member);
        if (op->must && member == NULL) {
            free(copy);
            return err_set(err, TN_E_INVAL,
                           "ops.%s is missing (ops.size is %u); %s plugins need it", op->name, size,
                           k->name);
        }
    }
    *ret = copy;
    return TN_OK;
}

static tn_rc check_tables(const tn_plugin *d, const void *ops, tn_err *err)
{
    if (d->conf_size > CONF_SIZE_MAX) {
        return err_set(err, TN_E_LIMIT, "conf_size is %u, at most %u", d->conf_size, CONF_SIZE_MAX);
    }
    if (d->inst_size > INST_SIZE_MAX) {
        return err_set(err, TN_E_LIMIT, "inst_size is %u, at most %u", d->inst_size, INST_SIZE_MAX);
    }
    tn_rc rc = d->config != NULL ? conf_check_table(d->config, d->conf_size, err) : TN_OK;
    if (rc == TN_OK && d->kind == TN_KIND_CONNECTOR) {
        const tn_connector_ops *c = ops;
        if ((d->caps & TN_CAP_CANCEL) != 0 && c->cancel == NULL) {
            return err_set(err, TN_E_INVAL, "caps has TN_CAP_CANCEL but ops.cancel is missing");
        }
        rc = check_methods(c->methods, err);
    } else if (rc == TN_OK && d->kind == TN_KIND_API) {
        rc = check_routes(((const tn_api_ops *)ops)->routes, err);
    } else if (rc == TN_OK && d->kind == TN_KIND_TRIGGER) {
        rc = check_trigger(d, ops, err);
    }
    return rc;
}

tn_rc plug_check_desc(const tn_plugin *theirs, struct plug *ret, tn_err *err)
{
    if (theirs == NULL) {
        return err_set(err, TN_E_UNSUPP, TN_ENTRY "() returned NULL, expected a tn_plugin");
    }
    tn_rc rc = check_head(theirs, err);
    if (rc != TN_OK) {
        return rc;
    }
    tn_plugin desc = {0};
    memcpy(&desc, theirs, theirs->size < sizeof desc ? theirs->size : sizeof desc);
    void *ops = NULL;
    rc = check_texts(&desc, err);
    if (rc == TN_OK) {
        rc = copy_ops(&desc, &ops, err);
    }
    if (rc == TN_OK) {
        rc = check_tables(&desc, ops, err);
    }
    if (rc != TN_OK) {
        free(ops);
        return rc;
    }
    memset(ret, 0, sizeof *ret);
    ret->desc = desc;
    ret->desc.ops = ops;
    ret->ops = ops;
    return TN_OK;
}
