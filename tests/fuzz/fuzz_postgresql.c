/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile server of PostgreSQL's protocol may put into a cell, of each type that we read: whatever it is, it becomes a value within
 * the room that its length gives. Input: a byte that chooses the type and what is known of the encoding, then the text of the cell. */
#include "connectors/postgresql/postgresql.h"
#include "tests/fuzz/sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* bool, bytea, int8, int2, oid, text, json, float8, numeric, date, time, timestamp, timestamptz, interval, unknown; then arrays */
static const Oid types[] = {16,   17,   20,   21,   26,   25,   114,  701,  1700,
                            1082, 1083, 1114, 1184, 1186, 9999, 1000, 1001, 1016,
                            1009, 199,  1022, 1231, 1182, 1183, 1115, 1185, 1187};

/* Scratch memory of exactly the size that emit.c asks for, so that a byte too many is seen. */
static void judge(Oid type, const char *text, size_t n, int ascii)
{
    struct pg_scratch s = {.mem = NULL};
    tn_val v = {.type = TN_T_TYPES};
    if (pg_scratch_room(&s, 16 + 2 * n + 2) != 0) {
        abort();
    }
    if (pg_value(&s, type, text, n, ascii, &v) != 1 || s.used > s.cap || s.nitems > s.cap_items ||
        v.type >= TN_T_TYPES) {
        abort();
    }
    if (ascii || v.type != TN_T_STR) {
        sink_scalar(NULL, &v);
    }
    if (v.type == TN_T_LIST && pg_col_type(type) != TN_T_LIST) {
        abort();
    }
    pg_scratch_finish(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1 || n > 65536) {
        return 0;
    }
    char *text = malloc(n); /* libpq ends a cell in NUL */
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data + 1, n - 1);
    text[n - 1] = '\0';
    judge(types[data[0] % (sizeof types / sizeof *types)], text, n - 1, 1);
    free(text);
    return 0;
}
