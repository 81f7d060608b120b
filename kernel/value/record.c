/* SPDX-License-Identifier: Apache-2.0 */
/* The recording sink: what a connector described, as text that a test can compare. */
#include "kernel/value/record.h"
#include "kernel/base/list.h"

#include <string.h>

const char *record_type_name(uint32_t type)
{
    static const char *const names[TN_T_TYPES] = {
        "NULL", "BOOL", "INT",  "FLOAT", "STR",   "BYTES", "DECIMAL",
        "TIME", "DATE", "LIST", "MAP",   "CLOCK", "SPAN",
    };
    return type < TN_T_TYPES ? names[type] : "?";
}

void record_val(struct buf *out, const tn_val *v)
{
    switch (v->type) {
    case TN_T_NULL:
        buf_adds(out, "null");
        break;
    case TN_T_BOOL:
        buf_adds(out, v->u.i ? "true" : "false");
        break;
    case TN_T_INT:
        buf_addi(out, v->u.i);
        break;
    case TN_T_FLOAT:
        buf_printf(out, "%.17g", v->u.f);
        break;
    case TN_T_STR:
        buf_adds(out, v->flags & TN_V_JSON ? "json:" : "");
        buf_quote(out, (tn_str){v->u.s, v->n});
        break;
    case TN_T_BYTES:
        buf_adds(out, "bytes:");
        for (uint32_t i = 0; i < v->n; i++) {
            buf_printf(out, "%02x", v->u.b[i]);
        }
        break;
    case TN_T_DECIMAL:
        buf_printf(out, "decimal:%.*s", (int)v->n, v->u.s);
        break;
    case TN_T_TIME:
        buf_adds(out, v->flags & TN_V_NAIVE ? "naive:" : "time:");
        buf_addi(out, v->u.i);
        break;
    case TN_T_DATE:
        buf_adds(out, "date:");
        buf_addi(out, v->u.i);
        break;
    case TN_T_CLOCK:
    case TN_T_SPAN:
        buf_adds(out, v->type == TN_T_CLOCK ? "clock:" : "span:");
        buf_addi(out, v->u.i);
        break;
    case TN_T_LIST:
        buf_addc(out, '[');
        for (uint32_t i = 0; i < v->n; i++) {
            buf_adds(out, i ? " " : "");
            record_val(out, &v->u.list[i]);
        }
        buf_addc(out, ']');
        break;
    case TN_T_MAP:
        buf_addc(out, '{');
        for (uint32_t i = 0; i < v->n; i++) {
            buf_adds(out, i ? " " : "");
            record_val(out, &v->u.map[i].key);
            buf_addc(out, ':');
            record_val(out, &v->u.map[i].val);
        }
        buf_addc(out, '}');
        break;
    default:
        buf_printf(out, "?%d", v->type);
    }
}

/* Counts the call and closes its line. */
static tn_rc done(struct record_sink *s)
{
    buf_addc(s->out, '\n');
    s->calls++;
    if (s->calls == s->fail_at) {
        return s->fail_rc;
    }
    return s->out->failed ? TN_E_LIMIT : TN_OK;
}

static struct record_sink *self(tn_sink *sink)
{
    return container_of(sink, struct record_sink, sink);
}

static tn_rc line(tn_sink *sink, const char *what)
{
    buf_adds(self(sink)->out, what);
    return done(self(sink));
}

static tn_rc on_scalar(tn_sink *sink, const tn_val *v)
{
    buf_adds(self(sink)->out, "scalar ");
    record_val(self(sink)->out, v);
    return done(self(sink));
}

static tn_rc on_list_begin(tn_sink *sink, int64_t hint)
{
    buf_printf(self(sink)->out, "list %lld", (long long)hint);
    return done(self(sink));
}

static tn_rc on_list_end(tn_sink *sink)
{
    return line(sink, "list_end");
}

static tn_rc on_map_begin(tn_sink *sink, int64_t hint)
{
    buf_printf(self(sink)->out, "map %lld", (long long)hint);
    return done(self(sink));
}

static tn_rc on_key(tn_sink *sink, const char *key, uint32_t len)
{
    buf_adds(self(sink)->out, "key ");
    buf_quote(self(sink)->out, (tn_str){key, len});
    return done(self(sink));
}

static tn_rc on_map_end(tn_sink *sink)
{
    return line(sink, "map_end");
}

static tn_rc on_table_begin(tn_sink *sink, const tn_col *cols, uint32_t ncols, int64_t hint)
{
    struct record_sink *s = self(sink);
    (void)hint;
    s->cols = cols;
    s->ncols = ncols;
    buf_adds(s->out, "table");
    for (uint32_t i = 0; i < ncols; i++) {
        buf_printf(s->out, " %.*s:%s", (int)cols[i].name_len, cols[i].name,
                   record_type_name(cols[i].type));
    }
    return done(s);
}

static tn_rc on_row(tn_sink *sink, const tn_val *cells)
{
    struct record_sink *s = self(sink);
    buf_adds(s->out, "row");
    for (uint32_t i = 0; i < s->ncols; i++) {
        buf_addc(s->out, ' ');
        record_val(s->out, &cells[i]);
    }
    return done(s);
}

static tn_rc on_table_end(tn_sink *sink, int64_t affected)
{
    buf_printf(self(sink)->out, "table_end %lld", (long long)affected);
    return done(self(sink));
}

void record_sink_init(struct record_sink *s, struct buf *out)
{
    static const tn_sink_ops ops = {
        .size = sizeof ops,
        .scalar = on_scalar,
        .list_begin = on_list_begin,
        .list_end = on_list_end,
        .map_begin = on_map_begin,
        .key = on_key,
        .map_end = on_map_end,
        .table_begin = on_table_begin,
        .row = on_row,
        .table_end = on_table_end,
    };
    memset(s, 0, sizeof *s);
    s->sink.ops = &ops;
    s->sink.self = s;
    s->out = out;
}
