/* SPDX-License-Identifier: Apache-2.0 */
/* What must happen in one step at the server: locks, and moving from a sorted set to a list. */
#include "redis.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* By its hash first: a script is sent whole only once a server. */
static tn_rc attempt(struct rd_conn *c, const char *words, const char *what, size_t n,
                     const tn_val *keys, uint32_t nkeys, const tn_val *args, uint32_t nargs,
                     uint64_t deadline_ns, struct rd_node **ret, tn_err *err)
{
    struct rd_cmd cmd;
    rd_cmd_init(&cmd, words);
    rd_arg_str(&cmd, what, n);
    rd_arg_int(&cmd, nkeys);
    for (uint32_t i = 0; i < nkeys; i++) {
        rd_arg(&cmd, &keys[i]);
    }
    for (uint32_t i = 0; i < nargs; i++) {
        rd_arg(&cmd, &args[i]);
    }
    return rd_exec(c, &cmd, deadline_ns, ret, err);
}

tn_rc rd_script(struct rd_conn *c, const char *source, const tn_val *keys, uint32_t nkeys,
                const tn_val *args, uint32_t nargs, uint64_t deadline_ns, struct rd_node **ret,
                tn_err *err)
{
    unsigned char sha[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char hex[41];
    tn_err why = TN_ERR_INIT;
    tn_rc rc = TN_E_REMOTE;
    if (EVP_Digest(source, strlen(source), sha, &len, EVP_sha1(), NULL) == 1 && len == 20) {
        for (unsigned i = 0; i < 20; i++) {
            snprintf(hex + 2 * i, 3, "%02x", sha[i]);
        }
        rc = attempt(c, "EVALSHA", hex, 40, keys, nkeys, args, nargs, deadline_ns, ret, &why);
    }
    if (rc == TN_E_REMOTE && (len != 20 || strcmp(why.state, "NOSCRIP") == 0)) { /* NOSCRIPT, cut */
        return attempt(c, "EVAL", source, strlen(source), keys, nkeys, args, nargs, deadline_ns,
                       ret, err);
    }
    if (rc != TN_OK && err != NULL) {
        *err = why;
    }
    return rc;
}

/* ---- locks ------------------------------------------------------------------------------------------- */

/* lock(key, value, max_seconds): True, None when somebody else has it */
tn_rc rd_lock(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
              tn_err *err)
{
    struct rd_cmd cmd;
    rd_cmd_init(&cmd, "SET");
    rd_arg(&cmd, &a->pos[0]);
    rd_arg(&cmd, &a->pos[1]);
    rd_arg_str(&cmd, "EX", 2);
    rd_arg(&cmd, &a->pos[2]);
    rd_arg_str(&cmd, "NX", 2);
    tn_rc rc = rd_exec(c, &cmd, deadline_ns, ret, err);
    if (rc == TN_OK && (*ret)->type == RD_STATUS) {
        rd_become(*ret, RD_BOOL, 1);
    }
    return rc;
}

static const char extend_source[] =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('EXPIRE', KEYS[1], ARGV[2]) end return 0";
static const char unlock_source[] =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/* extend_lock_time(key, value, max_seconds): True, or an error when the lock is not that value's */
tn_rc rd_extend_lock_time(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns,
                          struct rd_node **ret, tn_err *err)
{
    struct rd_node *node = NULL;
    tn_rc rc = rd_script(c, extend_source, &a->pos[0], 1, &a->pos[1], 2, deadline_ns, &node, err);
    if (rc == TN_OK && (node->type != RD_INT || node->u.i != 1)) {
        rd_free(node);
        return rd_host->fail(err, TN_E_CONFLICT, "Not Lock owner");
    }
    if (rc == TN_OK) {
        rd_become(node, RD_BOOL, 1);
        *ret = node;
    }
    return rc;
}

/* unlock(key, value): 1, or 0 when the lock is not that value's */
tn_rc rd_unlock(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
                tn_err *err)
{
    return rd_script(c, unlock_source, &a->pos[0], 1, &a->pos[1], 1, deadline_ns, ret, err);
}

/* ---- from a sorted set to a list --------------------------------------------------------------------- */

static const char move_source[] =
    "local limit = ARGV[3] == '1' and 1 or 1000\n"
    "local found = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, limit)\n"
    "local moved = 0\n"
    "while #found > 0 do\n"
    "  for _, m in ipairs(found) do\n"
    "    redis.call('LPUSH', KEYS[2], m)\n" /* first: when it is no list, nothing has gone */
    "    redis.call('ZREM', KEYS[1], m)\n"
    "  end\n"
    "  moved = moved + #found\n"
    "  if limit == 1 then return found[1] end\n"
    "  found = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, limit)\n"
    "end\n"
    "if limit == 1 then return false end\n"
    "return moved";

static tn_rc move(struct rd_conn *c, const tn_args *a, bool above, bool all, uint64_t deadline_ns,
                  struct rd_node **ret, tn_err *err)
{
    const tn_val infinite = {.type = TN_T_STR, .n = 4, .u.s = above ? "+inf" : "-inf"};
    const tn_val how = {.type = TN_T_INT, .u.i = all ? 0 : 1};
    const tn_val *score = &a->pos[2];
    const tn_val args[] = {above ? *score : infinite, above ? infinite : *score, how};
    return rd_script(c, move_source, &a->pos[0], 2, args, 3, deadline_ns, ret, err);
}

/* zpop_below_lpush(key, dest_key, score): the member with the lowest score up to it, moved; or None */
tn_rc rd_zpop_below(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
                    tn_err *err)
{
    return move(c, a, false, false, deadline_ns, ret, err);
}

tn_rc rd_zpop_above(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
                    tn_err *err)
{
    return move(c, a, true, false, deadline_ns, ret, err);
}

/* zpop_below_lpush_all: how many were moved */
tn_rc rd_zpop_below_all(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns,
                        struct rd_node **ret, tn_err *err)
{
    return move(c, a, false, true, deadline_ns, ret, err);
}

tn_rc rd_put_tasks(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
                   tn_err *err)
{
    (void)c, (void)a, (void)deadline_ns, (void)ret;
    return rd_host->fail(
        err, TN_E_UNSUPP,
        "put_tasks() wrote into the queue of the original's own Redis; call DFF.FUNC(func_id, "
        "kwargs) instead");
}
