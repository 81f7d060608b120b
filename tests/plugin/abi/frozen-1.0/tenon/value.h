/* SPDX-License-Identifier: Apache-2.0 */
/* Values that cross the plugin boundary, and the sink that results are described to. */
#ifndef TENON_VALUE_H
#define TENON_VALUE_H

#include <assert.h>
#include <tenon/types.h>

#define TN_T_NULL    0
#define TN_T_BOOL    1
#define TN_T_INT     2
#define TN_T_FLOAT   3
#define TN_T_STR     4  /* UTF-8 */
#define TN_T_BYTES   5
#define TN_T_DECIMAL 6  /* decimal text, e.g. "12.50" */
#define TN_T_TIME    7  /* microseconds since 1970-01-01 UTC */
#define TN_T_DATE    8  /* days since 1970-01-01 */
#define TN_T_LIST    9
#define TN_T_MAP     10
#define TN_T_CLOCK   11 /* time of day: microseconds since midnight */
#define TN_T_SPAN    12 /* length of time: microseconds */
#define TN_T_TYPES   13

/* tn_val.flags */
#define TN_V_NAIVE (1u << 0) /* TIME without a zone: print without offset */
#define TN_V_JSON  (1u << 1) /* STR holds JSON text that a sink may parse */
#define TN_V_UUID  (1u << 2) /* STR is a UUID, 8-4-4-4-12 hexadecimal digits */
#define TN_V_ADDR  (1u << 3) /* STR is an IPv4 or IPv6 address */
#define TN_V_TUPLE (1u << 4) /* LIST that nobody changes: its length and order have a meaning */
#define TN_V_ZONE  (1u << 5) /* TIME (still UTC), CLOCK: n is the offset of its zone, int32_t seconds */
#define TN_V_SET   (1u << 6) /* LIST that has no order */

typedef struct tn_val tn_val;
typedef struct tn_pair tn_pair;

/* 16-byte tagged value. Everything it points to is borrowed: valid until the function that
 * received the value returns. */
struct tn_val {
    uint8_t type;   /* TN_T_* */
    uint8_t flags;  /* TN_V_* */
    uint16_t rsvd;
    uint32_t n;     /* bytes (STR, BYTES, DECIMAL) or items (LIST, MAP) */
    union {
        int64_t i;           /* BOOL, INT, TIME, DATE, CLOCK, SPAN */
        double f;            /* FLOAT */
        const char *s;       /* STR, DECIMAL; not NUL-terminated */
        const uint8_t *b;    /* BYTES */
        const tn_val *list;  /* LIST: n values */
        const tn_pair *map;  /* MAP: n pairs */
    } u;
};
struct tn_pair {
    tn_val key, val;
};
static_assert(sizeof(tn_val) == 16, "tn_val is part of the contract");

typedef struct tn_col {
    const char *name;  /* column name as the peer returned it, UTF-8 */
    uint32_t name_len;
    uint32_t type;     /* TN_T_* of the cells, TN_T_NULL when it varies */
} tn_col;

/* A sink takes a description of one result, in order. Calls nest like JSON; a table is a list of
 * maps that share their keys. The first error ends the description and is what emit() returns.
 * All pointers are borrowed until the call returns. */
typedef struct tn_sink tn_sink;
typedef struct tn_sink_ops {
    uint32_t size;
    tn_rc (*scalar)(tn_sink *, const tn_val *);              /* any tn_val, LIST and MAP included */
    tn_rc (*list_begin)(tn_sink *, int64_t hint);            /* hint: items, -1 unknown */
    tn_rc (*list_end)(tn_sink *);
    tn_rc (*map_begin)(tn_sink *, int64_t hint);
    tn_rc (*key)(tn_sink *, const char *, uint32_t len);
    tn_rc (*map_end)(tn_sink *);
    tn_rc (*table_begin)(tn_sink *, const tn_col *, uint32_t ncols, int64_t hint);
    tn_rc (*row)(tn_sink *, const tn_val *cells);            /* ncols cells */
    tn_rc (*table_end)(tn_sink *, int64_t affected);         /* rows changed, -1 not applicable */
} tn_sink_ops;
struct tn_sink {
    const tn_sink_ops *ops;
    void *self;
};

#endif
