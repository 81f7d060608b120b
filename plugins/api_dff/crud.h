/* SPDX-License-Identifier: Apache-2.0 */
/* Add, modify, delete and their many-forms by one engine (spec 0.7); an entity is a row of this
 * table and a few hooks. */
#pragma once
#include "list.h"
#include "schema.h"
#include "store.h"

struct crud;
/* One running change. Everything happens in one transaction; hooks that return false have answered.
 */
struct change {
    struct api_req *r;
    const struct crud *crud;
    tn_txn *txn;
    json_t *answer; /* data of the answer; hooks may add members */
};
struct crud {
    const char *entity;       /* tn_entity.name */
    const char *label;        /* in "No such data" {entity, id} */
    const char *dup_sub;      /* EBizCondition sub-code of a taken id; NULL: EClientDuplicated */
    const char *url;          /* "/api/v1/sync/": answers carry url + id; NULL = none */
    const char *const *extra; /* hidden columns the hooks want in `old` */
    bool origin;              /* add sets origin and originId to the caller */
    bool pin;                 /* isPinned stands for pinTime */
    /* Optional; `data` holds the validated fields and becomes the row or the patch. */
    bool (*before_add)(struct change *c, json_t *data);
    bool (*before_modify)(struct change *c, const json_t *old, json_t *data);
    bool (*before_delete)(struct change *c, const json_t *old);
    /* Optional: after the commit, before the answer. Not in a dry run. */
    tn_rc (*changed)(struct api_req *r, tn_err *err);
};
/* run() of routes whose data is a struct crud. */
void crud_add(struct api_req *r);
void crud_modify(struct api_req *r); /* :id */
void crud_delete(struct api_req *r); /* :id */
void crud_add_many(struct api_req *r);
void crud_modify_many(struct api_req *r); /* filters from the route's query table */
void crud_delete_many(struct api_req *r);

/* EClientNotFound "No such data" {entity, id}. */
void crud_no_such(struct api_req *r, const char *label, tn_str id);
/* Answers a failed write: unique violations by the entity's rule, others as api_fail_err(). */
void crud_fail(struct api_req *r, const struct crud *crud, const json_t *data, const tn_err *err);
/* isPinned/pinTime, isLocked: moves a boolean field of `data` into a time or user column. */
void crud_flag_time(json_t *data, const char *flag, const char *column);
void crud_flag_text(json_t *data, const char *flag, const char *column, const char *text);
