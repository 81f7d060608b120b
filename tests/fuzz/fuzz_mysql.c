/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile server of MySQL's protocol may put into rows: they are kept, bounded, and told again with every cell a value, whatever its
 * bytes are. Input: a byte for the number of columns, their kinds, then cells, each two bytes of length (65535: NULL) and the bytes. */
#include "connectors/mysql/mysql_conn.h"
#include "kernel/base/err.h"
#include "tests/fuzz/sink.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define COLS       6
#define MAX_RESULT 65536

static const tn_host host = {.size = sizeof host, .fail = err_set};
const tn_host *my_host = &host;

/* Cells of one row, each in a block of its own size; false: there is no whole row left. */
static int take_row(const uint8_t **at, const uint8_t *end, uint32_t ncols, char **p,
                    unsigned long *len)
{
    for (uint32_t i = 0; i < ncols; i++) {
        p[i] = NULL;
        len[i] = 0;
    }
    for (uint32_t i = 0; i < ncols; i++) {
        if (end - *at < 2) {
            return 0;
        }
        size_t n = (size_t)(*at)[0] << 8 | (*at)[1];
        *at += 2;
        if (n == 65535) {
            continue;
        }
        n = n < (size_t)(end - *at) ? n : (size_t)(end - *at);
        p[i] = malloc(n + 1); /* the library ends a cell in NUL */
        if (p[i] == NULL) {
            abort();
        }
        memcpy(p[i], *at, n);
        p[i][n] = '\0';
        len[i] = n;
        *at += n;
    }
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct my_rows rows = {.n = 0};
    char *p[COLS];
    unsigned long len[COLS];
    tn_err err = TN_ERR_INIT;
    if (n < 1 + COLS || n > 300000) {
        return 0;
    }
    const uint8_t *at = data + 1 + COLS, *end = data + n;
    rows.ncols = data[0] % COLS + 1;
    rows.cols = calloc(rows.ncols, sizeof *rows.cols);
    if (rows.cols == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < rows.ncols; i++) {
        rows.cols[i] = (struct my_col){strdup("c"), 1, (uint8_t)(data[1 + i] % (MY_SPAN + 1))};
    }
    tn_rc rc = TN_OK;
    for (int more = 1; rc == TN_OK && more;) {
        more = take_row(&at, end, rows.ncols, p, len);
        rc = more ? my_rows_add(&rows, p, len, MAX_RESULT, &err) : rc;
        for (uint32_t i = 0; i < rows.ncols; i++) {
            free(p[i]);
        }
    }
    if (rc == TN_OK ? rows.bytes > MAX_RESULT : rc != TN_E_LIMIT) {
        abort();
    }
    tn_sink sink = {.ops = &sink_ops};
    told.rows = 0;
    if (my_rows_emit(&rows, &sink, &err) != TN_OK || told.rows != (size_t)rows.n) {
        abort();
    }
    my_rows_finish(&rows);
    return 0;
}
