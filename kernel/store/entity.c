/* SPDX-License-Identifier: Apache-2.0 */
/* Entity definitions: checked once, then the only source of names that are written into SQL. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"

#include <ctype.h>
#include <string.h>

#define NAME_MAX_LEN 60 /* PostgreSQL cuts at 63 bytes */

const tn_column entity_seq = {.name = "seq", .type = TN_COL_INT, .flags = TN_COL_NOT_NULL};
const tn_column entity_create_time = {
    .name = "createTime", .type = TN_COL_TIME, .flags = TN_COL_NOT_NULL};
const tn_column entity_update_time = {
    .name = "updateTime", .type = TN_COL_TIME, .flags = TN_COL_NOT_NULL};

const tn_column *entity_column(const tn_entity *e, tn_str name)
{
    static const tn_column *const ours[] = {&entity_seq, &entity_create_time, &entity_update_time};
    for (const tn_column *c = e->columns; c->name; c++) {
        if (str_is(name, c->name)) {
            return c;
        }
    }
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (str_is(name, ours[i]->name)) {
            return ours[i];
        }
    }
    return NULL;
}

uint32_t entity_joins(const tn_entity *e)
{
    uint32_t n = 0;
    while (e->joins && e->joins[n].entity) {
        n++;
    }
    return n;
}

tn_rc entity_get(struct store *s, const char *name, const tn_entity **ret, tn_err *err)
{
    pthread_rwlock_rdlock(&s->registry_lock);
    const tn_entity *e = map_get(&s->registry, str_of(name));
    pthread_rwlock_unlock(&s->registry_lock);
    if (!e) {
        return err_set(err, TN_E_NOTFOUND, "the store has no entity named %s",
                       name ? name : "(null)");
    }
    *ret = e;
    return TN_OK;
}

static int identifier(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    if (n == 0 || n > NAME_MAX_LEN || (!isalpha((unsigned char)s[0]) && s[0] != '_')) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)s[i]) && s[i] != '_') {
            return 0;
        }
    }
    return 1;
}

static tn_rc wrong(const tn_entity *e, tn_err *err, const char *what, const char *value)
{
    return err_set(err, TN_E_INVAL, "entity %s: %s: %s", e->name ? e->name : "(null)", what,
                   value ? value : "(null)");
}

static tn_rc check_columns(const tn_entity *e, tn_err *err)
{
    const tn_column *c = e->columns;
    int has_id = 0;
    if (!c) {
        return wrong(e, err, "it has no columns", e->table);
    }
    for (; c->name; c++) {
        tn_str name = str_of(c->name);
        if (!identifier(c->name)) {
            return wrong(e, err, "this is not a column name (letters, digits, _)", c->name);
        }
        if (c->type < TN_COL_STR || c->type > TN_COL_LIST) {
            return wrong(e, err, "the column's type is unknown", c->name);
        }
        if ((c->flags & TN_COL_SEALED) && ((c->type != TN_COL_TEXT && c->type != TN_COL_JSON) ||
                                           (c->flags & (TN_COL_UNIQUE | TN_COL_INDEX)))) {
            return wrong(e, err, "a sealed column is TEXT or JSON, without an index", c->name);
        }
        if (entity_column(e, name) != c || str_is(name, "seq") || str_is(name, "createTime") ||
            str_is(name, "updateTime")) {
            return wrong(e, err, "the column is there twice", c->name);
        }
        has_id |= str_is(name, "id") && c->type == TN_COL_STR;
    }
    return has_id ? TN_OK : wrong(e, err, "it needs a text column", "id");
}

static tn_rc check_uniques(const tn_entity *e, tn_err *err)
{
    for (const char *const *u = e->uniques; u && *u; u++) {
        tn_str rest = str_of(*u), name;
        while (str_split(&rest, ',', &name)) {
            if (!entity_column(e, name)) {
                return wrong(e, err, "a unique names an unknown column", *u);
            }
        }
    }
    return TN_OK;
}

static tn_rc check_one(const tn_entity *e, tn_err *err)
{
    if (!identifier(e->name) || !identifier(e->alias) || !identifier(e->table)) {
        return wrong(e, err, "name, alias and table are letters, digits and _", e->table);
    }
    if (entity_joins(e) > 31) {
        return wrong(e, err, "more than 31 joins", e->table);
    }
    for (uint32_t i = 0; i < entity_joins(e); i++) {
        const tn_join *j = &e->joins[i];
        if (!identifier(j->alias) || strcmp(j->alias, e->alias) == 0) {
            return wrong(e, err, "this is not an alias for a join", j->alias);
        }
        for (const char *const *c = j->columns; c && *c; c++) {
            char shown[2 * NAME_MAX_LEN];
            size_t n = strlen(j->prefix ? j->prefix : "") + strlen(*c);
            if (n >= sizeof shown || !identifier(*c) ||
                (j->prefix && j->prefix[0] && !identifier(j->prefix))) {
                return wrong(e, err, "a joined column has no usable name", *c);
            }
        }
    }
    tn_rc rc = check_columns(e, err);
    return rc ? rc : check_uniques(e, err);
}

/* Joins and the default order refer to other definitions, so they are checked after all are
 * known. */
static tn_rc check_references(struct store *s, const tn_entity *e, tn_err *err)
{
    struct stmt q;
    struct ref r;
    tn_rc rc = TN_OK;
    stmt_init(&q, s, e);
    for (uint32_t i = 0; i < entity_joins(e) && rc == TN_OK; i++) {
        const tn_join *j = &e->joins[i];
        const tn_entity *other;
        if ((rc = entity_get(s, j->entity, &other, err)) ||
            (rc = stmt_resolve(&q, "join", j->on_left, &r, err))) {
            break;
        }
        if (!entity_column(other, str_of(j->on_right))) {
            rc = wrong(e, err, "a join names an unknown column", j->on_right);
        }
        for (const char *const *c = j->columns; c && *c && rc == TN_OK; c++) {
            rc = entity_column(other, str_of(*c))
                     ? TN_OK
                     : wrong(e, err, "a join shows an unknown column", *c);
        }
    }
    if (rc == TN_OK) {
        q.joins = (uint32_t)((1ull << entity_joins(e)) - 1);
        rc = stmt_from(&q, err);
    }
    rc = rc ? rc : stmt_order(&q, NULL, 0, err);
    stmt_finish(&q);
    return rc;
}

tn_rc entity_register(struct store *s, const tn_entity *entities, tn_err *err)
{
    tn_rc rc = TN_OK;
    for (const tn_entity *e = entities; e && e->name; e++) {
        if ((rc = check_one(e, err))) {
            return rc;
        }
        pthread_rwlock_wrlock(&s->registry_lock);
        const tn_entity *old = map_get(&s->registry, str_of(e->name));
        if (old && old != e && strcmp(old->table, e->table) != 0) {
            rc = wrong(e, err, "another table has this name already", old->table);
        } else if (map_put(&s->registry, str_of(e->name), (void *)(uintptr_t)e, NULL) < 0) {
            rc = err_set(err, TN_E_NOMEM, "no memory for entity %s", e->name);
        }
        pthread_rwlock_unlock(&s->registry_lock);
        if (rc) {
            return rc;
        }
    }
    for (const tn_entity *e = entities; e && e->name && rc == TN_OK; e++) {
        rc = check_references(s, e, err);
    }
    if (rc) { /* nobody may use what was not accepted */
        pthread_rwlock_wrlock(&s->registry_lock);
        for (const tn_entity *e = entities; e->name; e++) {
            if (map_get(&s->registry, str_of(e->name)) == e) {
                map_del(&s->registry, str_of(e->name));
            }
        }
        pthread_rwlock_unlock(&s->registry_lock);
    }
    return rc;
}
