/* SPDX-License-Identifier: Apache-2.0 */
/* Columns that are sealed while they lie in the file: a copy of it without master.key does not tell them. In columns of
 * JSON the sealed form is a JSON text. */
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"

#include <stdio.h>
#include <string.h>

#define SEALED      "tn1:"
#define SEALED_JSON "\"" SEALED
#define PLACE_MAX   512

void store_use_keys(struct store *s, struct keys *keys)
{
    s->keys = keys;
}

int entity_sealed(const tn_entity *e)
{
    for (const tn_column *c = e->columns; c->name; c++) {
        if (c->flags & TN_COL_SEALED) {
            return 1;
        }
    }
    return 0;
}

/* table|column|id: a sealed text can be opened in its own place only. */
static tn_str place_of(const tn_entity *e, const tn_column *col, tn_str id, char *text)
{
    int n = snprintf(text, PLACE_MAX, "%s|%s|%.*s", e->table, col->name, (int)id.n,
                     id.s ? id.s : "");
    return (tn_str){text, n > 0 && n < PLACE_MAX ? (size_t)n : 0};
}

tn_rc cell_seal(struct stmt *q, const tn_column *col, tn_str id, tn_val *v, tn_err *err)
{
    char place[PLACE_MAX];
    struct buf b = BUF_INIT(0);
    int json = col->type == TN_COL_JSON;
    if (!(col->flags & TN_COL_SEALED) || v->type != TN_T_STR || v->n == 0) {
        return TN_OK;
    }
    if (!q->s->keys) {
        return err_set(err, TN_E_INTERNAL, "entity %s: there is no key to seal column %s with",
                       q->e->name, col->name);
    }
    buf_adds(&b, json ? "\"" : "");
    tn_rc rc = keys_seal(q->s->keys, (tn_str){v->u.s, v->n}, place_of(q->e, col, id, place), &b,
                         err);
    buf_adds(&b, json ? "\"" : "");
    if (rc == TN_OK) {
        char *text = b.failed ? NULL : arena_dup(&q->mem, buf_str(&b));
        rc = text ? TN_OK : err_set(err, TN_E_NOMEM, "no memory for column %s", col->name);
        *v = (tn_val){.type = TN_T_STR, .n = (uint32_t)b.len, .u.s = text};
    }
    buf_finish(&b);
    return rc;
}

tn_val cell_open(struct store *s, const tn_entity *e, const tn_column *col, const tn_val *id,
                 const tn_val *v, struct buf *room)
{
    char place[PLACE_MAX];
    tn_err err = TN_ERR_INIT;
    tn_str text = {v->u.s, v->n};
    const tn_val null = {.type = TN_T_NULL};
    if (v->type != TN_T_STR && v->type != TN_T_BYTES) {
        return *v;
    }
    if (col->type == TN_COL_JSON && str_prefix(text, SEALED_JSON) && text.n > sizeof SEALED_JSON) {
        text = (tn_str){text.s + 1, text.n - 2};
    } else if (col->type == TN_COL_JSON || !str_prefix(text, SEALED)) {
        return *v; /* from before it was sealed */
    }
    buf_clear(room);
    if (!s->keys || keys_unseal(s->keys, text, place_of(e, col, (tn_str){id->u.s, id->n}, place),
                                room, &err) != TN_OK) {
        log_warn("store: %s of %.*s: %s", col->name, (int)id->n, id->u.s ? id->u.s : "",
                 s->keys ? err.msg : "there is no key");
        return null;
    }
    return room->failed ? null
                        : (tn_val){.type = TN_T_STR, .n = (uint32_t)room->len, .u.s = room->data};
}
