/* SPDX-License-Identifier: Apache-2.0 */
/* Stored entities as tables: columns, joins, lists. The kernel turns them into SQL and JSON text. */
#ifndef TENON_ENTITY_H
#define TENON_ENTITY_H

#include <tenon/types.h>

/* tn_column.type */
#define TN_COL_STR  1 /* text of at most max_len characters */
#define TN_COL_TEXT 2 /* text */
#define TN_COL_JSON 3 /* any JSON; rows show it parsed */
#define TN_COL_INT  4
#define TN_COL_BOOL 5 /* stored 0/1, shown false/true */
#define TN_COL_TIME 6 /* stored as microseconds UTC, shown as ISO 8601 with milliseconds and Z */
#define TN_COL_LIST 7 /* stored comma separated, shown as array of text */

/* tn_column.flags */
#define TN_COL_NOT_NULL (1u << 0)
#define TN_COL_HIDDEN   (1u << 1) /* stored, never in a row unless asked for by name in `extra` */
#define TN_COL_UNIQUE   (1u << 2)
#define TN_COL_INDEX    (1u << 3)
#define TN_COL_SEALED   (1u << 4) /* TEXT or JSON, sealed while it lies in the file: lists open it and search in it,
                                    newest first; no other filter but ISNULL, no update; free SQL sees it sealed */

typedef struct tn_column {
    const char *name;  /* NULL ends the table */
    uint32_t type;
    uint32_t flags;
    uint32_t max_len;  /* characters, 0 = unbounded */
    uint32_t rsvd;
    const char *dflt;  /* SQL literal, NULL = NULL */
} tn_column;

/* tn_entity.flags */
#define TN_ENTITY_RECORDS (1u << 0) /* in the store's file for records, written by
                                       tn_host_records.put() only; lists and joins as ever */

/* LEFT JOIN: columns of another entity show up in rows under `prefix` + name. */
typedef struct tn_join {
    const char *entity;          /* tn_entity.name; NULL ends the table */
    const char *alias;           /* SQL alias, also used in filters: "func" in "func.scriptId" */
    const char *on_left;         /* "sapi.funcId" */
    const char *on_right;        /* column of the joined entity, usually "id" */
    const char *prefix;          /* "func_" */
    const char *const *columns;  /* NULL-terminated; NULL = none shown (only for filters) */
} tn_join;

/* Every table has besides: seq (INTEGER PRIMARY KEY AUTOINCREMENT), id (primary key of the
 * vocabulary, unique), createTime, updateTime (set by the kernel). */
typedef struct tn_entity {
    const char *name;              /* "script"; NULL ends the table */
    const char *alias;             /* "scpt" */
    const char *table;             /* "biz_main_script" */
    const char *id_prefix;         /* "scpt-" for generated ids (prefix + 12 of 0-9A-Za-z) */
    uint32_t id_random;            /* characters after the prefix, 0 = 12 */
    uint32_t flags;
    const tn_column *columns;      /* without seq, createTime, updateTime; with id */
    const tn_join *joins;          /* NULL = none */
    const char *const *uniques;    /* "scope,configMD5", NULL-terminated; NULL = none */
    const char *order;             /* default order, SQL on aliases: "scpt.seq DESC" */
} tn_entity;

/* tn_migration.flags */
#define TN_MIGRATION_UPGRADE (1u << 0) /* changes what an older version left: a new database starts
                                          from the entity definitions and only records it */

/* Run in order after the tables of the definitions have all their columns. */
typedef struct tn_migration {
    uint32_t seq;         /* 1, 2, 3 ... never reused; 0 ends the table */
    uint32_t flags;       /* TN_MIGRATION_* */
    const char *dialect;  /* "sqlite", "postgresql", "mysql" or "*" */
    const char *title;
    const char *sql;      /* one or several statements; runs in one transaction */
} tn_migration;

/* Filter operators. */
#define TN_OP_EQ       1
#define TN_OP_NE       2
#define TN_OP_LT       3
#define TN_OP_LE       4
#define TN_OP_GT       5
#define TN_OP_GE       6
#define TN_OP_IN       7  /* any of the JSON array */
#define TN_OP_LIKE     8  /* contains; % and _ in the value are literal */
#define TN_OP_PRELIKE  9  /* starts with */
#define TN_OP_ISNULL   10 /* value true / false */
#define TN_OP_BOOL     11
#define TN_OP_JSON_HAS_ALL 12 /* the JSON array column holds every value of the JSON array */

typedef struct tn_filter {
    const char *column;  /* "alias.column", or one of the entity's own column names */
    uint32_t op;
    uint32_t rsvd;
    tn_str value;        /* JSON text: scalar or array */
} tn_filter;

/* tn_list.flags */
#define TN_LIST_COUNT (1u << 0) /* also count all matching rows */

typedef struct tn_list {
    uint32_t size;
    uint32_t flags;
    const tn_filter *filters;
    uint32_t nfilters;
    uint32_t nfuzzy;
    tn_str fuzzy;                 /* text searched for in the fuzzy columns; absent = none */
    const char *const *fuzzy_columns;
    const char *const *sort;      /* "seq" or "-seq" each, own column names or alias.column */
    uint32_t nsort;
    uint32_t nextra;
    const char *const *extra;     /* hidden columns to show as well */
    const char *const *omit;      /* own columns to leave out */
    uint32_t nomit;
    uint32_t rsvd;
    int64_t limit, offset;        /* limit < 0 = all */
    int64_t marker;               /* > 0: only rows with seq < marker */
} tn_list;

#endif
