/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the embedded cache share: values, the key space, one command, replies. */
#pragma once
#include "kernel/base/heap.h"
#include "kernel/base/list.h"
#include "kernel/base/map.h"
#include "kernel/base/str.h"
#include "kernel/hub/cache.h"

/* An owned text. */
struct text {
    uint32_t n;
    char s[];
};
static inline tn_str text_str(const struct text *t)
{
    return (tn_str){t->s, t->n};
}

/* A deque of texts: a ring that doubles. */
struct deque {
    struct text **ring;
    size_t cap, head, n;
};
/* A sorted set: members by name, and the same nodes by (score, name). */
struct node {
    double score;
    struct text *member;
};
struct zset {
    struct map by_name; /* name -> struct node * */
    struct node **order;
    size_t n, cap;
};

enum { TYPE_STRING, TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_ZSET };
struct entry {
    struct heap_node due; /* .at: Unix ms; .pos 0: lives for ever */
    uint32_t type;
    union {
        struct text *string;
        struct map map; /* hash: field -> struct text *; set: member -> itself */
        struct deque list;
        struct zset zset;
    } u;
    uint32_t name_n;
    char name[];
};

/* The words of a request, borrowed from it; the array is kept for the next one. */
struct words {
    tn_str *v;
    size_t n, cap;
};

static inline tn_str key_name(const struct entry *e)
{
    return (tn_str){e->name, e->name_n};
}

struct cache_db {
    struct map keys; /* name -> struct entry * */
    struct heap due;
    uint64_t used, max;
    int64_t now_ms;
    uint64_t commands;
    struct words words; /* of the request that is read */
    int64_t block_ms;   /* the last command would wait so long, 0: for ever; -1: it has answered */
    tn_str pushed;      /* list that the last command has put something into; s NULL: none */
};

/* One command while it runs. */
struct cmd {
    struct cache_db *db;
    const tn_str *argv;
    size_t argc;
    struct buf *out;
    const char *name; /* lower case */
};

/* ---- the key space (cache_keys.c) ---------------------------------------------------------------- */
/* What an allocation of n bytes is counted as. */
#define COST(n)    ((n) + 16)
#define COST_KEY   160 /* entry, slot, copy of the name */
#define COST_FIELD 80  /* slot and copy of the name */

struct text *text_new(struct cache_db *db, tn_str s); /* NULL: no memory */
void text_free(struct cache_db *db, struct text *t);
/* The live entry of that name, or NULL. */
struct entry *key_get(struct cache_db *db, tn_str name);
/* The same, and a new empty one of that type when there is none. NULL: answered (WRONGTYPE, memory). */
struct entry *key_make(struct cmd *x, tn_str name, uint32_t type);
/* Found and of that type; false: another type, answered. */
bool key_find(struct cmd *x, tn_str name, uint32_t type, struct entry **ret);
void key_del(struct cache_db *db, struct entry *e);
void key_del_if_empty(struct cache_db *db, struct entry *e);
size_t key_count(const struct entry *e);
/* at_ms 0: for ever; in the past: the key is deleted. False: no memory. */
bool key_expire(struct cache_db *db, struct entry *e, int64_t at_ms);
/* Removes up to n keys whose time has come. */
void keys_sweep(struct cache_db *db, unsigned n);
/* Glob of Redis: * ? [a-z] [^a] and backslash. */
bool glob_match(tn_str pattern, tn_str s);

/* ---- hashes, sets: maps that are counted ----------------------------------------------------------- */
bool field_put(struct cmd *x, struct entry *e, tn_str field, struct text *value_take,
               bool *ret_new);
bool field_del(struct cache_db *db, struct entry *e, tn_str field);
void fields_del(struct cmd *x, uint32_t type); /* HDEL, SREM: KEY FIELD... -> how many were there */

/* ---- sorted sets (cache_zset.c) --------------------------------------------------------------------- */
void zset_finish(struct cache_db *db, struct zset *z);
/* The order: by score, then by name. Index of the first node that is not before (score, name). */
int zset_compare(double a_score, tn_str a, double b_score, tn_str b);
size_t zset_position(const struct zset *z, double score, tn_str name);
/* Indexes [*lo, *hi) of the members with a score between min and max. */
void zset_between(const struct zset *z, double min, double max, size_t *lo, size_t *hi);
/* The same between words i and i + 1, "(1.5" and "-inf" as well; false: answered. */
bool zset_bounds(struct cmd *x, size_t i, const struct zset *z, size_t *lo, size_t *hi);
/* The members [lo, hi), however many, in one step. */
void zset_remove(struct cache_db *db, struct zset *z, size_t lo, size_t hi);
/* A member that is new or gets this score. False: no memory. */
bool zset_put(struct cache_db *db, struct zset *z, tn_str name, double score);
/* ---- lists (cache_list.c) ----------------------------------------------------------------------------- */
struct text *deque_pop(struct deque *d, bool left);
/* Takes one element off the list as a blocking pop answers it, [name, value]; false: nothing there, or
 * no list (answered when ret_answered). */
bool list_pop_pair(struct cmd *x, tn_str name, bool left);
/* To the head of the list `name`, a new one when there is none; false: answered. */
bool list_push_left(struct cmd *x, tn_str name, tn_str value);

/* ---- replies ---------------------------------------------------------------------------------------- */
void reply_error(struct cmd *x, const char *fmt, ...) TN_PRINTF(2, 3); /* "ERR …" with its code */
void reply_ok(struct cmd *x);
void reply_int(struct cmd *x, int64_t v);
void reply_bulk(struct cmd *x, tn_str s);
void reply_nil(struct cmd *x);
void reply_nil_array(struct cmd *x);
void reply_array(struct cmd *x, size_t n);
void reply_double(struct cmd *x, double v);
#define WRONG_TYPE  "WRONGTYPE Operation against a key holding the wrong kind of value"
#define NOT_INTEGER "ERR value is not an integer or out of range"
#define NOT_FLOAT   "ERR value is not a valid float"
#define SYNTAX      "ERR syntax error"

/* ---- arguments; false: answered ---------------------------------------------------------------------- */
bool int_read(tn_str s, int64_t *ret);  /* as Redis writes them: no plus sign, no leading zeros */
bool float_read(tn_str s, double *ret); /* with inf */
bool arg_int(struct cmd *x, size_t i, int64_t *ret);
bool arg_float(struct cmd *x, size_t i, double *ret);
bool arg_is(const struct cmd *x, size_t i, const char *word); /* case ignored */
/* start and stop of a range over n elements, clamped; false: empty. */
bool range_clamp(int64_t *start, int64_t *stop, size_t n);
/* Text of a number as Redis stores the result of INCRBYFLOAT. */
size_t float_text(long double v, char *out, size_t cap);

/* ---- the table (cache_db.c) ------------------------------------------------------------------------------ */
#define CMD_WRITE (1u << 0) /* refused when memory is used up */
#define CMD_BLOCK (1u << 1) /* answers later when there is nothing */
struct cmd_row {
    const char *name; /* lower case; NULL ends a table */
    int arity;        /* words with the name; negative: at least */
    unsigned flags;
    void (*run)(struct cmd *x);
};
extern const struct cmd_row cmd_keys[], cmd_strings[], cmd_hashes[], cmd_lists[], cmd_sets[],
    cmd_zsets[], cmd_zranges[], cmd_steps[], cmd_info[];
/* Reads a request and finds its command; NULL: `out` got the error. */
const struct cmd_row *cmd_read(struct words *w, tn_str request, struct buf *out);
/* [MATCH pattern] [COUNT n] of a scan, from word `first`; false: answered. */
bool scan_options(struct cmd *x, size_t first, tn_str *ret_pattern);
/* What a Redis server is asked instead of a command that only the embedded cache has (cache_steps.c); false: it
 * knows the command itself. */
bool step_request(const struct cmd_row *row, const struct words *w, struct buf *out);

/* ---- a Redis server behind the same door (cache_remote.c) ------------------------------------------------ */
struct remote;
tn_rc remote_create(struct loop *l, const struct cache_conf *conf, struct remote **ret,
                    tn_err *err);
void remote_stop(struct remote *r);    /* before the loop's end */
void remote_destroy(struct remote *r); /* after it: helper threads have ended */
/* blocking: the command may wait at the server, it gets a connection of its own. */
void remote_run(struct remote *r, tn_str request, bool blocking, const struct cache_ask *ask);
void remote_status(const struct remote *r, struct buf *out);

/* ---- RESP (cache_resp.c) ------------------------------------------------------------------------------------ */
/* Exactly one request, an array of bulk strings; false: `ret_why`. */
bool resp_request(struct words *w, tn_str request, const char **ret_why);
/* Bytes of the first complete RESP reply at s, 0: more must come, SIZE_MAX: not RESP. */
size_t resp_reply_size(tn_str s);
