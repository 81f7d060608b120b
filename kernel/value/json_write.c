/* SPDX-License-Identifier: Apache-2.0 */
/* Values as JSON text: json_write() and the sink that describes results in JSON. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/list.h"
#include "kernel/base/str.h"
#include "kernel/value/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static tn_rc bounded(const struct buf *out, tn_err *err)
{
    return out->failed ? err_set(err, TN_E_LIMIT, "the JSON text is larger than %zu bytes",
                                 out->max ? out->max : (size_t)1 << 30)
                       : TN_OK;
}

/* Shortest decimal form that reads back as the same double; always looks like a float. */
static void write_float(struct buf *out, double f)
{
    char text[40];
    int n = 0;
    if (!isfinite(f)) {
        buf_adds(out, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof text, "%.*g", digits, f);
        if (strtod(text, NULL) == f) {
            break;
        }
    }
    char *comma = strchr(text, ','); /* a locale's decimal point */
    if (comma) {
        *comma = '.';
    }
    buf_add(out, text, (size_t)n);
    if (!strpbrk(text, ".e")) {
        buf_adds(out, ".0");
    }
}

static void write_base64(struct buf *out, const uint8_t *p, size_t n)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    buf_addc(out, '"');
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
                     (i + 2 < n ? p[i + 2] : 0u);
        char four[4] = {set[v >> 18], set[v >> 12 & 63], i + 1 < n ? set[v >> 6 & 63] : '=',
                        i + 2 < n ? set[v & 63] : '='};
        buf_add(out, four, 4);
    }
    buf_addc(out, '"');
}

/* Civil date of a day number (proleptic Gregorian calendar, any sign). */
static void write_date(struct buf *out, int64_t days)
{
    if (days < -3652059 || days > 365241780) { /* outside what calendars here can name */
        buf_addi(out, days);
        return;
    }
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int64_t d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9;
    buf_printf(out, "%04lld-%02d-%02d", (long long)(yoe + era * 400 + (m <= 2)), (int)m, (int)d);
}

static void write_time(struct buf *out, int64_t us, int naive)
{
    const int64_t day = 86400000000;
    int64_t days = us / day - (us % day < 0), rest = us - days * day;
    int64_t s = rest / 1000000, frac = rest % 1000000;
    buf_addc(out, '"');
    write_date(out, days);
    buf_printf(out, "T%02d:%02d:%02d.", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
    if (frac % 1000) {
        buf_printf(out, "%06d", (int)frac);
    } else {
        buf_printf(out, "%03d", (int)(frac / 1000));
    }
    buf_adds(out, naive ? "\"" : "Z\"");
}

/* A decimal text that is also a JSON number stays one; anything else ("NaN") is a string. */
static void write_decimal(struct buf *out, tn_str text)
{
    uint32_t kind;
    if (json_scan(text, &kind, NULL, 0, NULL, NULL) == TN_OK && kind == TN_JSON_NUMBER) {
        buf_addstr(out, str_trim(text));
    } else {
        buf_quote(out, text);
    }
}

/* "08:30:00.250000"; a length of time may be negative and longer than a day. */
static void write_clock(struct buf *out, int64_t us)
{
    uint64_t u = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    buf_printf(out, "\"%s%02llu:%02llu:%02llu", us < 0 ? "-" : "",
               (unsigned long long)(u / 3600000000), (unsigned long long)(u / 60000000 % 60),
               (unsigned long long)(u / 1000000 % 60));
    if (u % 1000000 != 0) {
        buf_printf(out, ".%06llu", (unsigned long long)(u % 1000000));
    }
    buf_addc(out, '"');
}

static tn_rc write_val(struct buf *out, const tn_val *v, uint32_t depth, tn_err *err);

static tn_rc write_items(struct buf *out, const tn_val *v, uint32_t depth, tn_err *err)
{
    tn_rc rc = TN_OK;
    int map = v->type == TN_T_MAP;
    if (depth >= JSON_MAX_DEPTH) {
        return err_set(err, TN_E_LIMIT, "a value is nested deeper than %d levels", JSON_MAX_DEPTH);
    }
    buf_addc(out, map ? '{' : '[');
    for (uint32_t i = 0; i < v->n && rc == TN_OK; i++) {
        if (i) {
            buf_addc(out, ',');
        }
        if (map) {
            const tn_val *key = &v->u.map[i].key;
            if (key->type != TN_T_STR) {
                return err_set(err, TN_E_INVAL,
                               "a map key of type %d cannot be JSON: keys are text", key->type);
            }
            buf_quote(out, (tn_str){key->u.s, key->n});
            buf_addc(out, ':');
        }
        rc = write_val(out, map ? &v->u.map[i].val : &v->u.list[i], depth + 1, err);
    }
    buf_addc(out, map ? '}' : ']');
    return rc;
}

static tn_rc write_val(struct buf *out, const tn_val *v, uint32_t depth, tn_err *err)
{
    tn_str text = {v->u.s, v->n};
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
        write_float(out, v->u.f);
        break;
    case TN_T_STR:
        if ((v->flags & TN_V_JSON) && json_scan(text, NULL, NULL, 0, NULL, NULL) == TN_OK) {
            buf_addstr(out, text);
        } else {
            buf_quote(out, text);
        }
        break;
    case TN_T_BYTES:
        if (str_utf8_valid(text)) {
            buf_quote(out, text);
        } else {
            write_base64(out, v->u.b, v->n);
        }
        break;
    case TN_T_DECIMAL:
        write_decimal(out, text);
        break;
    case TN_T_TIME:
        write_time(out, v->u.i, v->flags & TN_V_NAIVE);
        break;
    case TN_T_DATE:
        buf_addc(out, '"');
        write_date(out, v->u.i);
        buf_addc(out, '"');
        break;
    case TN_T_CLOCK:
    case TN_T_SPAN:
        write_clock(out, v->u.i);
        break;
    case TN_T_LIST:
    case TN_T_MAP:
        return write_items(out, v, depth, err);
    default:
        return err_set(err, TN_E_INVAL, "a value has the unknown type %d", v->type);
    }
    return bounded(out, err);
}

tn_rc json_write(struct buf *out, const tn_val *v, tn_err *err)
{
    return write_val(out, v, 0, err);
}

/* ---- the sink -------------------------------------------------------------------------------- */

static struct json_sink *self(tn_sink *sink)
{
    return container_of(sink, struct json_sink, sink);
}

/* What has to stand before the next value: nothing, or a comma. */
static void before(struct json_sink *s)
{
    if (s->after_key) {
        s->after_key = 0;
    } else if (!s->first[s->depth]) {
        buf_addc(s->out, ',');
    }
    s->first[s->depth] = 0;
}

static tn_rc begin(struct json_sink *s, char c)
{
    if (s->depth >= JSON_MAX_DEPTH) {
        return TN_E_LIMIT;
    }
    before(s);
    buf_addc(s->out, c);
    s->first[++s->depth] = 1;
    return s->out->failed ? TN_E_LIMIT : TN_OK;
}

static tn_rc end(struct json_sink *s, char c)
{
    if (s->depth == 0 || s->after_key) {
        return TN_E_INTERNAL;
    }
    s->depth--;
    buf_addc(s->out, c);
    return s->out->failed ? TN_E_LIMIT : TN_OK;
}

static tn_rc sink_scalar(tn_sink *sink, const tn_val *v)
{
    struct json_sink *s = self(sink);
    before(s);
    return write_val(s->out, v, s->depth, NULL);
}

static tn_rc sink_list_begin(tn_sink *sink, int64_t hint)
{
    (void)hint;
    return begin(self(sink), '[');
}

static tn_rc sink_list_end(tn_sink *sink)
{
    return end(self(sink), ']');
}

static tn_rc sink_map_begin(tn_sink *sink, int64_t hint)
{
    (void)hint;
    return begin(self(sink), '{');
}

static tn_rc sink_key(tn_sink *sink, const char *key, uint32_t len)
{
    struct json_sink *s = self(sink);
    before(s);
    buf_quote(s->out, (tn_str){key, len});
    buf_addc(s->out, ':');
    s->after_key = 1;
    return s->out->failed ? TN_E_LIMIT : TN_OK;
}

static tn_rc sink_map_end(tn_sink *sink)
{
    return end(self(sink), '}');
}

static tn_rc sink_table_begin(tn_sink *sink, const tn_col *cols, uint32_t ncols, int64_t hint)
{
    struct json_sink *s = self(sink);
    (void)hint;
    s->cols = cols;
    s->ncols = ncols;
    return begin(s, '[');
}

static tn_rc sink_row(tn_sink *sink, const tn_val *cells)
{
    struct json_sink *s = self(sink);
    tn_rc rc = begin(s, '{');
    for (uint32_t i = 0; i < s->ncols && rc == TN_OK; i++) {
        if ((rc = sink_key(sink, s->cols[i].name, s->cols[i].name_len)) == TN_OK) {
            rc = sink_scalar(sink, &cells[i]);
        }
    }
    return rc ? rc : end(s, '}');
}

static tn_rc sink_table_end(tn_sink *sink, int64_t affected)
{
    (void)affected;
    return end(self(sink), ']');
}

void json_sink_init(struct json_sink *s, struct buf *out)
{
    static const tn_sink_ops ops = {
        .size = sizeof ops,
        .scalar = sink_scalar,
        .list_begin = sink_list_begin,
        .list_end = sink_list_end,
        .map_begin = sink_map_begin,
        .key = sink_key,
        .map_end = sink_map_end,
        .table_begin = sink_table_begin,
        .row = sink_row,
        .table_end = sink_table_end,
    };
    memset(s, 0, sizeof *s);
    s->sink.ops = &ops;
    s->sink.self = s;
    s->out = out;
    s->first[0] = 1;
}
