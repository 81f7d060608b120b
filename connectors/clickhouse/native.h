/* SPDX-License-Identifier: Apache-2.0 */
/* Types, columns and blocks of ClickHouse's Native format: read from bytes, told as values, made from values. */
#pragma once
#include "bytes.h"

#define CH_COLUMNS_MAX 65536u     /* of a block */
#define CH_TYPE_MAX    (1u << 20) /* bytes of a type's name: an Enum16 has many labels */
#define CH_DEPTH_MAX   32         /* types in types */
#define CH_NAME_MAX    (1u << 16) /* bytes of a column's name */

enum ch_kind {
    CH_UINT = 1,
    CH_INT,
    CH_FLOAT,
    CH_BFLOAT,
    CH_BOOL,
    CH_STRING,
    CH_FIXED,
    CH_DATE,
    CH_DATETIME,
    CH_DATETIME64,
    CH_TIME,
    CH_UUID,
    CH_IPV4,
    CH_IPV6,
    CH_ENUM,
    CH_DECIMAL,
    CH_NOTHING,
    CH_NULLABLE,
    CH_ARRAY,
    CH_TUPLE,
    CH_MAP,
    CH_LOW
};
struct ch_label {
    const char *s;
    uint32_t n;
    int32_t value;
};
struct ch_type {
    uint8_t kind;
    uint16_t scale; /* DECIMAL, DATETIME64, TIME: digits behind the point */
    uint32_t width; /* bytes of a value that has as many as any other, else 0 */
    uint32_t n;     /* types in it, or labels */
    struct ch_type **sub;
    struct ch_label *labels; /* by value */
    const char *zone;        /* DATETIME*: its time zone, NULL: the server's */
    const char *text;        /* its name as the server writes it */
    uint32_t text_n;
};
/* The type of this name, in memory of m. TN_E_UNSUPP names a type that we do not know; TN_E_UNAVAIL: it is no
 * name of a type at all. */
tn_rc ch_type_parse(const tn_host *host, struct ch_mem *m, const char *text, size_t n,
                    struct ch_type **ret, tn_err *err);

struct ch_col {
    const struct ch_type *type;
    size_t n;
    uint8_t *fixed; /* n values of type->width bytes; NULLABLE: n bytes, 1 = NULL */
    uint32_t *ends; /* STRING, ARRAY, MAP: where value i ends in bytes or sub */
    uint8_t *bytes; /* STRING */
    uint32_t *
        pick; /* LOW: the item of sub[0] that value i is; sparse: the same plus one, 0 = the type's default */
    struct ch_col *sub;
    uint8_t sparse;
};
struct ch_block {
    struct ch_mem mem;
    uint32_t ncols;
    size_t nrows;
    const char **names;
    uint32_t *name_lens;
    struct ch_col *cols;
};
/* The block behind a table's name. `rev` is the agreed revision; m->max of ret bounds its memory. On failure nothing
 * has to be finished. */
tn_rc ch_block_read(struct ch_in *in, uint32_t rev, size_t max, struct ch_block *ret);
void ch_block_finish(struct ch_block *b);

/* Time zones: microseconds that the clocks of a zone (NULL: the server's) are ahead of UTC at this moment, in seconds since
 * 1970 UTC. 0: the zone is not known. */
struct ch_clock {
    int (*offset_us)(void *self, const char *zone, int64_t unix_s, int64_t *ret_us);
    void *self;
};
/* Memory for the values of one row. */
struct ch_scratch {
    struct ch_chunk *chunk;
    const struct ch_clock *clock; /* of the server's zone, for DateTime without one */
    bool failed;
};
void ch_scratch_reset(struct ch_scratch *s);
void ch_scratch_finish(struct ch_scratch *s);
void *ch_scratch_take(struct ch_scratch *s, size_t n); /* NULL: no memory, which sticks */
/* A text as str, as bytes when it is not UTF-8. */
tn_val ch_text(const char *p, size_t n);
/* Value i of a column. It borrows from the column and from s. */
void ch_cell(struct ch_scratch *s, const struct ch_col *col, size_t i, tn_val *ret);
uint32_t ch_cell_type(const struct ch_type *t); /* TN_T_*, TN_T_NULL when it varies */

/* ---- making columns ---------------------------------------------------------------------------------- */

/* Appends n values as a column of this type, with its prefix. TN_E_INVAL says which value does not fit. */
struct ch_writer {
    const tn_host *host;
    struct ch_out *out;
    const struct ch_clock *clock;
    const char *column; /* for errors */
    tn_err *err;
};
tn_rc ch_column_write(struct ch_writer *w, const struct ch_type *t, const tn_val *const *v,
                      size_t n);

/* ---- numbers of up to 256 bits ------------------------------------------------------------------------ */

#define CH_NUMBER_TEXT 96
/* width bytes (16 or 32, also 1 to 8) as decimal text with `scale` digits behind the point; its length. */
size_t ch_number_text(const uint8_t *p, uint32_t width, bool is_signed, uint32_t scale,
                      char out[CH_NUMBER_TEXT]);
/* The other way: "-12.50" with scale 2 is -1250. Digits beyond the scale must be zero. 0: it is no number, or it does
 * not fit. */
int ch_number_parse(const char *s, size_t n, uint32_t width, bool is_signed, uint32_t scale,
                    uint8_t *out);
