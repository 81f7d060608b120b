/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the embedded cache on sets. */
#include "kernel/hub/cache_int.h"

static char present; /* the value of every member */

static void run_sadd(struct cmd *x)
{
    struct entry *e = key_make(x, x->argv[1], TYPE_SET);
    int64_t n = 0;
    for (size_t i = 2; e != NULL && i < x->argc; i++) {
        void *old = NULL;
        if (map_put(&e->u.map, x->argv[i], &present, &old) != 0) {
            key_del_if_empty(x->db, e);
            reply_error(x, "OOM no memory for a member");
            return;
        }
        if (old == NULL) {
            x->db->used += COST_FIELD + x->argv[i].n;
            n++;
        }
    }
    if (e != NULL) {
        reply_int(x, n);
    }
}

static void run_srem(struct cmd *x)
{
    fields_del(x, TYPE_SET);
}

static void run_scard(struct cmd *x)
{
    struct entry *e;
    if (key_find(x, x->argv[1], TYPE_SET, &e)) {
        reply_int(x, e != NULL ? (int64_t)e->u.map.used : 0);
    }
}

static void run_smembers(struct cmd *x)
{
    struct entry *e;
    tn_str member;
    if (!key_find(x, x->argv[1], TYPE_SET, &e)) {
        return;
    }
    reply_array(x, e != NULL ? e->u.map.used : 0);
    for (size_t i = 0; e != NULL && map_next(&e->u.map, &i, &member, NULL);) {
        reply_bulk(x, member);
    }
}

static void run_sismember(struct cmd *x)
{
    struct entry *e;
    if (key_find(x, x->argv[1], TYPE_SET, &e)) {
        reply_int(x, e != NULL && map_get(&e->u.map, x->argv[2]) != NULL);
    }
}

const struct cmd_row cmd_sets[] = {
    {"sadd", -3, CMD_WRITE, run_sadd},  {"srem", -3, 0, run_srem},
    {"scard", 2, 0, run_scard},         {"smembers", 2, 0, run_smembers},
    {"sismember", 3, 0, run_sismember}, {NULL, 0, 0, NULL},
};
