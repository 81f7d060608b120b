/* SPDX-License-Identifier: Apache-2.0 */
/* INFO of the embedded cache: the lines of Redis that have a meaning here. */
#include "kernel/hub/cache_int.h"

static void server(struct cmd *x, struct buf *out)
{
    (void)x;
    buf_adds(out, "redis_version:7.0.0\r\nredis_mode:embedded\r\n");
}

static void memory(struct cmd *x, struct buf *out)
{
    buf_printf(out, "used_memory:%llu\r\nmaxmemory:%llu\r\nmaxmemory_policy:noeviction\r\n",
               (unsigned long long)x->db->used, (unsigned long long)x->db->max);
}

static void stats(struct cmd *x, struct buf *out)
{
    buf_printf(out, "total_commands_processed:%llu\r\n", (unsigned long long)x->db->commands);
}

static void keyspace(struct cmd *x, struct buf *out)
{
    keys_sweep(x->db, UINT32_MAX);
    if (x->db->keys.used > 0) {
        buf_printf(out, "db0:keys=%zu,expires=%zu,avg_ttl=0\r\n", x->db->keys.used, x->db->due.n);
    }
}

static const struct {
    const char *name, *title;
    void (*lines)(struct cmd *x, struct buf *out);
} sections[] = {{"server", "Server", server},
                {"memory", "Memory", memory},
                {"stats", "Stats", stats},
                {"keyspace", "Keyspace", keyspace}};

static bool wanted(const struct cmd *x, const char *name)
{
    for (size_t i = 1; i < x->argc; i++) {
        if (arg_is(x, i, name) || arg_is(x, i, "default") || arg_is(x, i, "all") ||
            arg_is(x, i, "everything")) {
            return true;
        }
    }
    return x->argc == 1;
}

/* INFO [section …] */
static void run_info(struct cmd *x)
{
    struct buf text = BUF_INIT(0);
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (wanted(x, sections[i].name)) {
            buf_printf(&text, "%s# %s\r\n", text.len > 0 ? "\r\n" : "", sections[i].title);
            sections[i].lines(x, &text);
        }
    }
    text.failed ? reply_error(x, "OOM no memory for the answer") : reply_bulk(x, buf_str(&text));
    buf_finish(&text);
}

const struct cmd_row cmd_info[] = {{"info", -1, 0, run_info}, {NULL, 0, 0, NULL}};
