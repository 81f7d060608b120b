/* SPDX-License-Identifier: Apache-2.0 */
/* Many commands in one go, also as a transaction (MULTI, EXEC). */
#include "redis.h"

#include <string.h>

static tn_rc put_all(struct rd_conn *c, const tn_val *commands, tn_err *err)
{
    tn_rc rc = TN_OK;
    for (uint32_t i = 0; rc == TN_OK && i < commands->n; i++) {
        const tn_val *words = &commands->u.list[i];
        struct rd_cmd cmd;
        if (words->type != TN_T_LIST || words->n == 0) {
            return rd_host->fail(err, TN_E_INVAL,
                                 "command %u of the pipeline is no list like ['SET', 'key', 1]", i);
        }
        rd_cmd_init(&cmd, "");
        rd_arg_all(&cmd, words);
        rc = rd_admit(c, &cmd, err);
        rc = rc == TN_OK ? rd_put(c, &cmd, err) : rc;
        rd_cmd_finish(&cmd);
    }
    return rc;
}

/* Reads n replies into a list; the first refusal is kept and told when all have been read. */
static tn_rc read_all(struct rd_conn *c, const tn_val *commands, uint64_t deadline_ns,
                      struct rd_node *list, tn_err *err)
{
    tn_rc rc = TN_OK, failed = TN_OK;
    for (uint32_t i = 0; rc == TN_OK && i < commands->n; i++) {
        struct rd_node *node = NULL;
        rc = rd_read(c, deadline_ns, &node, err);
        if (rc != TN_OK) {
            return rc;
        }
        list->u.items[i] = node;
        if (node->type != RD_ERROR) {
            rd_shape(&commands->u.list[i].u.list[0], node);
        } else if (failed == TN_OK) {
            tn_err why = TN_ERR_INIT;
            failed = rd_refused(c, node, &why);
            rd_host->fail(err, failed, "command %u of the pipeline: %.400s", i, why.msg);
            if (err != NULL) {
                memcpy(err->state, why.state, sizeof err->state);
                err->flags |= why.flags;
            }
        }
    }
    return failed;
}

static tn_rc simple(struct rd_conn *c, const char *words, tn_err *err)
{
    struct rd_cmd cmd;
    rd_cmd_init(&cmd, words);
    tn_rc rc = rd_put(c, &cmd, err);
    rd_cmd_finish(&cmd);
    return rc;
}

/* The replies of MULTI, of each queued command, and of EXEC, which has the results. */
static tn_rc read_transaction(struct rd_conn *c, const tn_val *commands, uint64_t deadline_ns,
                              struct rd_node **ret, tn_err *err)
{
    struct rd_node *node = NULL;
    tn_err why = TN_ERR_INIT;
    tn_rc rc = TN_OK, failed = TN_OK;
    for (uint32_t i = 0; rc == TN_OK && i < commands->n + 2; i++) {
        rd_free(node);
        node = NULL;
        rc = rd_read(c, deadline_ns, &node, err);
        if (rc == TN_OK && node->type == RD_ERROR && failed == TN_OK) {
            failed = rd_refused(c, node, &why);
        }
    }
    if (rc == TN_OK && failed != TN_OK) {
        rc = failed;
        rd_host->fail(err, rc, "nothing of the transaction was executed: %.400s", why.msg);
    }
    for (uint32_t i = 0; rc == TN_OK && node->type == RD_LIST && i < node->n && i < commands->n;
         i++) {
        if (node->u.items[i]->type == RD_ERROR && failed == TN_OK) {
            failed = rd_refused(c, node->u.items[i], &why);
            rd_host->fail(err, failed,
                          "command %u of the transaction failed, the others were executed: %.300s",
                          i, why.msg);
        } else {
            rd_shape(&commands->u.list[i].u.list[0], node->u.items[i]);
        }
    }
    rc = rc == TN_OK ? failed : rc;
    if (rc != TN_OK) {
        rd_free(node);
        return rc;
    }
    *ret = node;
    return TN_OK;
}

/* pipeline(commands, transaction=False) */
tn_rc rd_pipeline(struct rd_conn *c, const tn_args *a, uint64_t deadline_ns, struct rd_node **ret,
                  tn_err *err)
{
    const tn_val *commands = &a->pos[0];
    bool whole = a->pos[1].type == TN_T_BOOL && a->pos[1].u.i;
    if (commands->type != TN_T_LIST || commands->n > 100000) {
        return rd_host->fail(err, TN_E_INVAL, "a pipeline is a list of at most 100000 commands");
    }
    struct rd_node *list = rd_node_new(RD_LIST, commands->n);
    if (list == NULL) {
        return rd_host->fail(err, TN_E_NOMEM, "no memory for the results");
    }
    if (commands->n == 0) {
        *ret = list;
        return TN_OK;
    }
    tn_rc rc = whole ? simple(c, "MULTI", err) : TN_OK;
    rc = rc == TN_OK ? put_all(c, commands, err) : rc;
    rc = rc == TN_OK && whole ? simple(c, "EXEC", err) : rc;
    if (rc != TN_OK) {
        c->n = 0; /* nothing was sent */
    } else {
        rc = rd_send(c, deadline_ns, err);
    }
    if (rc == TN_OK && whole) {
        rd_free(list);
        return read_transaction(c, commands, deadline_ns, ret, err);
    }
    rc = rc == TN_OK ? read_all(c, commands, deadline_ns, list, err) : rc;
    if (rc != TN_OK) {
        rd_free(list);
        return rc;
    }
    *ret = list;
    return TN_OK;
}
