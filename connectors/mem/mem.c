/* SPDX-License-Identifier: Apache-2.0 */
/* A connector without a database, the tutorial (README.md) and test double of all others: its
 * descriptor, its life and its connections. */
#include "mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

const tn_host *mem_host; /* set once by load(), before any fork; shared by all instances */

/* One row a setting. Parsing, ranges, help, the console's form and the manual come from it. */
static const tn_field fields[] = {
    {TN_FIELD(struct mem_conf, rows_max), .dflt = "1000000", .min = 1, .max = 100000000,
     .doc = "Rows that table() returns at most."},
    {TN_FIELD(struct mem_conf, password), .doc = "Connections open with \"sesame\" or with none."},
    {0},
};

static tn_rc mem_load(const tn_host *host, tn_err *err)
{
    (void)
        err; /* a real connector initialises its client library here; no connections, no threads */
    mem_host = host;
    return TN_OK;
}

static tn_rc mem_attach(void *inst, const void *conf, tn_err *err)
{
    (void)err;
    ((struct mem *)inst)->conf = conf; /* stays valid until after detach(); read-only */
    return TN_OK;
}

static tn_rc mem_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    const char *password = ((struct mem *)inst)->conf->password.s;
    if (deadline_ns != 0 && mem_host->now_ns() >= deadline_ns) {
        return mem_host->fail(err, TN_E_TIMEOUT, "no time left to open a connection");
    }
    if (password != NULL && *password != '\0' && strcmp(password, "sesame") != 0) {
        return mem_host->fail(err, TN_E_DENIED,
                              "wrong password; the configuration must say sesame");
    }
    struct mem_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return mem_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->stop_fd < 0) {
        free(c);
        return mem_host->fail(err, TN_E_LIMIT, "no descriptor for a connection");
    }
    *ret_conn = c;
    return TN_OK;
}

tn_rc mem_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err)
{
    (void)inst,
        (void)deadline_ns; /* a real one asks the peer something cheap, within the deadline */
    if (!((struct mem_conn *)conn)->broken) {
        return TN_OK;
    }
    tn_rc rc = mem_host->fail(err, TN_E_UNAVAIL, "the connection is broken; open another one");
    if (err != NULL) {
        err->flags |= TN_ERR_CONN_BROKEN | TN_ERR_RETRY;
    }
    return rc;
}

/* Nothing of this call may reach the next one: data, transaction, a cancel() that came late. */
static tn_rc mem_reset(void *inst, void *conn, tn_err *err)
{
    struct mem_conn *c = conn;
    eventfd_t late;
    eventfd_read(c->stop_fd, &late);
    memset(c->slots, 0, sizeof c->slots);
    c->n = 0;
    return mem_check(inst, conn, 0, err);
}

static void mem_close(void *inst, void *conn, uint32_t why)
{
    (void)inst, (void)why; /* TN_CLOSE_BROKEN: a real one does not say goodbye to the peer */
    close(((struct mem_conn *)conn)->stop_fd);
    free(conn);
}

static void mem_cancel(void *inst, void *conn) /* from any thread, while invoke() runs */
{
    (void)inst;
    eventfd_write(((struct mem_conn *)conn)->stop_fd, 1);
}

static const tn_connector_ops ops = {
    .size = sizeof ops,
    .methods = mem_methods,
    .open = mem_open,
    .check = mem_check,
    .reset = mem_reset,
    .close = mem_close,
    .invoke = mem_invoke,
    .emit = mem_emit,
    .result_free = mem_result_free,
    .cancel = mem_cancel,
};

TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .flags = TN_P_THREAD_SAFE, .name = "mem", .version = "1.0.0",
          .summary = "Keys and values in memory, for learning and for tests",
          .caps = TN_CAP_CANCEL | TN_CAP_STREAM, .config = fields,
          .conf_size = sizeof(struct mem_conf), .inst_size = sizeof(struct mem), .load = mem_load,
          .attach = mem_attach, .ops = &ops)
