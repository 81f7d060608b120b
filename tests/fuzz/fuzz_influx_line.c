/* SPDX-License-Identifier: Apache-2.0 */
/* InfluxDB: a point of any texts is refused or becomes exactly one line that reads back as the same point; any bytes as annotated CSV end
 * without a read beyond them. Input: measurement NUL tag NUL value NUL field NUL text NUL the rest is CSV. */
#include "connectors/influxdb/influx.h"
#include "kernel/base/err.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

const tn_host *ix_host;

static tn_rc any_val(tn_sink *s, const tn_val *v)
{
    (void)s;
    for (uint32_t i = 0; v->type == TN_T_STR && i < v->n; i++) {
        volatile char c = v->u.s[i];
        (void)c;
    }
    return TN_OK;
}
static tn_rc any_begin(tn_sink *s, int64_t hint)
{
    (void)s, (void)hint;
    return TN_OK;
}
static tn_rc any_end(tn_sink *s)
{
    (void)s;
    return TN_OK;
}
static tn_rc any_key(tn_sink *s, const char *p, uint32_t n)
{
    const tn_val v = {.type = TN_T_STR, .n = n, .u.s = p};
    return any_val(s, &v);
}

/* One part of a line as the server reads it: up to a character of `stops` that no backslash precedes. */
static size_t take(const char *p, const char *end, const char *stops, char *to)
{
    size_t n = 0, used = 0;
    for (; p + used < end; used++) {
        char c = p[used];
        if (c == '\\' && p + used + 1 < end && strchr(", =", p[used + 1]) != NULL) {
            to[n++] = p[++used];
        } else if (strchr(stops, c) != NULL) {
            break;
        } else {
            to[n++] = c;
        }
    }
    to[n] = '\0';
    return used;
}

static void same(const char *got, const tn_val *want)
{
    char text[8192];
    size_t n = 0;
    for (uint32_t i = 0; i < want->n; i++) { /* a line break is written as \n */
        if (want->u.s[i] == '\n') {
            text[n++] = '\\';
            text[n++] = 'n';
        } else {
            text[n++] = want->u.s[i];
        }
    }
    text[n] = '\0';
    if (strcmp(got, text) != 0) {
        abort();
    }
}

static void read_back(const char *p, size_t n, const tn_val *part)
{
    char got[8192];
    const char *end = p + n;
    p += take(p, end, ", ", got);
    same(got, &part[0]);
    if (*p == ',') {
        p += 1 + take(p + 1, end, "=", got);
        same(got, &part[1]);
        p += 1 + take(p + 1, end, ", ", got);
        same(got, &part[2]);
    }
    p += 1 + take(p + 1, end, "=", got);
    same(got, &part[3]);
    if (p + 1 >= end || p[1] != '"') {
        abort();
    }
    size_t k = 0;
    for (p += 2; p < end && *p != '"'; p++) {
        p += *p == '\\';
        got[k++] = *p;
    }
    if (p >= end || k != part[4].n || memcmp(got, part[4].u.s, k) != 0 ||
        strcmp(p, "\" 5\n") != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const tn_host host = {.fail = err_set};
    static const tn_sink_ops ops = {.size = sizeof ops,
                                    .scalar = any_val,
                                    .list_begin = any_begin,
                                    .list_end = any_end,
                                    .map_begin = any_begin,
                                    .key = any_key,
                                    .map_end = any_end};
    tn_sink sink = {&ops, NULL};
    tn_val part[5] = {{.type = TN_T_STR}};
    const char *p = (const char *)data, *end = p + n;
    if (n > 3000) {
        return 0;
    }
    for (int i = 0; i < 5; i++) {
        const char *stop = p < end ? memchr(p, '\0', (size_t)(end - p)) : NULL;
        stop = stop != NULL ? stop : end;
        part[i] = (tn_val){.type = TN_T_STR, .n = (uint32_t)(stop - p), .u.s = p};
        p = stop < end ? stop + 1 : end;
    }
    const tn_pair tag[] = {{part[1], part[2]}}, field[] = {{part[3], part[4]}};
    const tn_val tags = {.type = TN_T_MAP, .n = part[1].n != 0, .u.map = tag},
                 fields = {.type = TN_T_MAP, .n = 1, .u.map = field};
    const tn_val five = {.type = TN_T_INT, .u.i = 5};
    const struct ix_point point = {&part[0], &tags, &fields, &five};
    struct grow to = {.n = 0};
    if (ix_line(&host, &to, &point, "n", NULL) == TN_OK) {
        read_back(to.s, to.n, part);
    }
    grow_free(&to);
    int64_t ns;
    ix_time((tn_str){part[0].u.s, part[0].n}, &ns);
    size_t size = (size_t)(end - p);
    char *csv = malloc(size != 0 ? size : 1);
    if (size != 0) {
        memcpy(csv, p, size);
    }
    ix_csv_check(&host, (tn_str){csv, size}, NULL);
    ix_csv_emit(&host, (tn_str){csv, size}, &sink, NULL);
    free(csv);
    return 0;
}
