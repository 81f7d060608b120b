/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded cache: finding a command, checking its words and the memory bound, running it. */
#include "kernel/hub/cache_int.h"

#include <stdlib.h>

#define SWEEP 20 /* keys whose time has come, removed along with each command */

static const struct cmd_row *const tables[] = {cmd_keys,    cmd_strings, cmd_hashes,
                                               cmd_lists,   cmd_sets,    cmd_zsets,
                                               cmd_zranges, cmd_steps,   cmd_info};

struct cache_db *cache_db_create(uint64_t max_bytes)
{
    struct cache_db *db = calloc(1, sizeof *db);
    if (db != NULL) {
        map_init(&db->keys);
        heap_init(&db->due);
        db->max = max_bytes;
    }
    return db;
}

void cache_db_destroy(struct cache_db *db)
{
    tn_str name;
    void *e;
    if (db == NULL) {
        return;
    }
    for (size_t i = 0; map_next(&db->keys, &i, &name, &e);) {
        key_del(db, e);
    }
    map_finish(&db->keys, NULL);
    heap_finish(&db->due);
    free(db->words.v);
    free(db);
}

static const struct cmd_row *find(tn_str name)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (const struct cmd_row *r = tables[t]; r->name != NULL; r++) {
            if (str_ieq(name, str_of(r->name))) {
                return r;
            }
        }
    }
    return NULL;
}

static void unknown(struct cmd *x)
{
    struct buf args = BUF_INIT(1024);
    for (size_t i = 1; i < x->argc && args.len < 128; i++) {
        size_t n = x->argv[i].n < 128 - args.len ? x->argv[i].n : 128 - args.len;
        buf_printf(&args, "'%.*s' ", (int)n, x->argv[i].s);
    }
    size_t n = x->argv[0].n < 128 ? x->argv[0].n : 128;
    reply_error(x, "ERR unknown command '%.*s', with args beginning with: %s", (int)n, x->argv[0].s,
                buf_str(&args).s);
    buf_finish(&args);
}

const struct cmd_row *cmd_read(struct words *w, tn_str request, struct buf *out)
{
    struct cmd x = {.out = out};
    const char *why;
    if (!resp_request(w, request, &why)) {
        reply_error(&x, "%s", why);
        return NULL;
    }
    x.argv = w->v;
    x.argc = w->n;
    const struct cmd_row *row = find(w->v[0]);
    if (row == NULL) {
        unknown(&x);
    } else if (row->arity > 0 ? w->n != (size_t)row->arity : w->n < (size_t)-row->arity) {
        reply_error(&x, "ERR wrong number of arguments for '%s' command", row->name);
        return NULL;
    }
    return row;
}

/* Whether the words of this request fit; expired keys make room first. */
static bool fits(struct cache_db *db, size_t request)
{
    if (db->used + request > db->max) {
        keys_sweep(db, UINT32_MAX);
    }
    return db->used + request <= db->max;
}

void cache_db_run(struct cache_db *db, tn_str request, int64_t now_ms, struct buf *out)
{
    struct cmd x = {.db = db, .out = out};
    db->now_ms = now_ms;
    db->pushed = (tn_str){NULL, 0};
    db->block_ms = -1;
    db->commands++;
    keys_sweep(db, SWEEP);
    const struct cmd_row *row = cmd_read(&db->words, request, out);
    if (row == NULL) {
        return;
    }
    x.argv = db->words.v;
    x.argc = db->words.n;
    x.name = row->name;
    if ((row->flags & CMD_WRITE) != 0 && !fits(db, request.n)) {
        reply_error(&x,
                    "OOM the cache is full (%llu MiB): delete keys, let them expire, or raise the "
                    "setting cache_memory",
                    (unsigned long long)(db->max >> 20));
        return;
    }
    row->run(&x);
}
