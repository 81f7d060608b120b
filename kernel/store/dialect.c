/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL dialects that the store speaks. */
#include "kernel/store/dialect.h"

#include <string.h>

/* SQLITE_IOERR_FSYNC, SQLITE_IOERR_DIR_FSYNC: after a failed fsync the kernel may have dropped the
 * pages, so that a later success proves nothing. */
static const int32_t sqlite_lost[] = {1034, 1290, 0};

static const struct dialect dialects[] = {
    {
        .name = "sqlite",
        .quote = '"',
        .begin = "BEGIN IMMEDIATE",
        .commit = "COMMIT",
        .rollback = "ROLLBACK",
        .seq_column = "INTEGER PRIMARY KEY AUTOINCREMENT",
        .types = {[TN_COL_STR] = "TEXT",
                  [TN_COL_TEXT] = "TEXT",
                  [TN_COL_JSON] = "TEXT",
                  [TN_COL_INT] = "INTEGER",
                  [TN_COL_BOOL] = "INTEGER",
                  [TN_COL_TIME] = "INTEGER",
                  [TN_COL_LIST] = "TEXT"},
        .blank = {[TN_COL_STR] = "''",
                  [TN_COL_TEXT] = "''",
                  [TN_COL_JSON] = "'null'",
                  [TN_COL_INT] = "0",
                  [TN_COL_BOOL] = "0",
                  [TN_COL_TIME] = "0",
                  [TN_COL_LIST] = "''"},
        .now = "(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000)",
        .key_type = "TEXT",
        .columns = "SELECT name FROM pragma_table_info(?)",
        .tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'",
        .size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
        /* A value that is no array has nothing. Numbers compare as numbers, everything else needs
         * the same type: true is not 1. */
        .json_has_all =
            "NOT EXISTS (SELECT 1 FROM json_each(%p) AS tn_want WHERE NOT EXISTS (SELECT 1 FROM "
            "json_each(CASE WHEN json_valid(%c) AND json_type(%c) = 'array' THEN %c ELSE '[]' END) "
            "AS tn_have WHERE tn_have.value IS tn_want.value AND (tn_have.type = tn_want.type OR "
            "(tn_have.type IN ('integer', 'real') AND tn_want.type IN ('integer', 'real')))))",
        .lost = sqlite_lost,
    },
};

const struct dialect *dialect_find(const char *name)
{
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++) {
        if (strcmp(dialects[i].name, name) == 0) {
            return &dialects[i];
        }
    }
    return NULL;
}
