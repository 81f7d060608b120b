/* SPDX-License-Identifier: Apache-2.0 */
/* Lists by one engine (spec 0.6): paging, sort, fields, fuzzy and full text, filters, export. */
#pragma once
#include "schema.h"
#include "store.h"

enum list_paging { PAGE_NORMAL = 1, PAGE_SIMPLE, PAGE_MARKER, PAGE_NONE };

struct list_spec {
    const char *entity;          /* tn_entity.name; NULL: a durable task (host->tasks) */
    uint32_t paging;             /* PAGE_* */
    const char *const *sort;     /* names allowed in sort=, NULL-terminated; NULL = none */
    const char *const *fuzzy;    /* columns of _fuzzySearch */
    const char *const *fulltext; /* columns of _fulltextSearchWord */
    const char *const *extra;    /* hidden columns that are always shown */
    /* Optional: more hidden columns for this request; writes up to cap names, returns how many. */
    uint32_t (*extra_for)(struct api_req *r, const char **ret, uint32_t cap);
    /* Optional: more filters. False: answered. */
    bool (*filters)(struct api_req *r, struct filters *f);
    /* Optional: shapes one row. */
    void (*row)(struct api_req *r, json_t *row);
    /* Optional: works on all rows. False: answered. */
    bool (*rows)(struct api_req *r, json_t *rows);
};
/* A managed route's run(): route->data is the list_spec. */
void list_run(struct api_req *r);
/* Filters of the validated query by the route's field table. */
void list_query_filters(struct api_req *r, const struct field *fields, struct filters *f);

/* fields=a,b or fields=-,a,b on an array of objects or an object. */
void list_pick_fields(json_t *data, tn_str fields);
/* Sends `data` as attachment in `format` (json, csv). */
void list_export(struct api_req *r, const json_t *data, tn_str format);
