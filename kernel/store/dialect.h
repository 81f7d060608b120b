/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between SQL databases, as one row each. A new database is a new row. */
#pragma once
#include <tenon/entity.h>

#define DIALECT_TYPES 8 /* TN_COL_STR .. TN_COL_LIST */

struct dialect {
    const char *name; /* of the connector plugin and in tn_migration.dialect */
    char quote;       /* around identifiers */
    const char *begin, *commit, *rollback;
    const char *seq_column;           /* type of the automatic number */
    const char *types[DIALECT_TYPES]; /* by TN_COL_* */
    const char *blank[DIALECT_TYPES]; /* literal for a NOT NULL column that is added later */
    const char *now;                  /* microseconds UTC, for rows that others insert */
    const char *key_type;             /* text that can be a primary key */
    const char *columns;              /* one parameter: rows of one column, the table's columns */
    const char *tables;               /* number of tables in the database */
    const char *size;                 /* bytes of the database, NULL = cannot say */
    const char *json_has_all;         /* %p: the parameter, a JSON array; %c: the column */
    const int32_t *lost; /* native codes after which a commit may not be durable; 0 ends */
};
/* NULL: there is no dialect of that name. */
const struct dialect *dialect_find(const char *name);
