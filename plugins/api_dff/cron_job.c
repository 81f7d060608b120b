/* SPDX-License-Identifier: Apache-2.0 */
/* Cron jobs (spec 1.9) and their legacy name, crontab configs: adding, changing, deleting, listing. */
#include "cron.h"
#include "record.h"
#include "target.h"

#include <stdlib.h>
#include <string.h>

#define TOUCHED_MAX 50 /* more changed jobs than this: all are looked at */

/* Ids of the jobs that a request changes, as r->state. */
struct touched {
    uint32_t n;
    char ids[TOUCHED_MAX][72];
};

static void touch(struct api_req *r, const char *id)
{
    struct touched *t = r->state;
    if (t == NULL) {
        t = r->state = calloc(1, sizeof *t);
    }
    if (t != NULL && t->n < TOUCHED_MAX && strlen(id) < sizeof t->ids[0]) {
        strcpy(t->ids[t->n++], id);
    } else if (t != NULL) {
        t->n = UINT32_MAX;
    }
}

static tn_rc changed(struct api_req *r, tn_err *err)
{
    const struct touched *t = r->state;
    if (t == NULL || t->n > TOUCHED_MAX) {
        return cron_sync(err);
    }
    tn_rc rc = TN_OK;
    for (uint32_t i = 0; rc == TN_OK && i < t->n; i++) {
        rc = cron_sync_job(text_of(t->ids[i]), err);
    }
    return rc;
}

static void alias(json_t *data, const char *from, const char *to)
{
    json_t *v = json_object_get(data, from);
    if (v != NULL) {
        if (json_object_get(data, to) == NULL) {
            json_object_set(data, to, v);
        }
        json_object_del(data, from);
    }
}

/* null means the default for what is of our own. */
static void defaults(json_t *data)
{
    static const char *const own[] = {"overlapPolicy", "catchUpPolicy", "catchUpWindow", "scope"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (json_is_null(json_object_get(data, own[i]))) {
            json_object_del(data, own[i]);
        }
    }
}

static bool before_add(struct change *c, json_t *data)
{
    alias(data, "crontab", "cronExpr");
    defaults(data);
    if (!json_is_string(json_object_get(data, "id"))) {
        char id[24] = "cron-";
        api.host->auth->random_id(id + 5, 12);
        json_object_set_new(data, "id", json_string(id));
    }
    touch(c->r, row_text(data, "id"));
    return cron_check(c->r, text_of(row_text(data, "cronExpr")),
                      text_of(row_text(data, "timezone"))) &&
           target_before_add(c, data);
}

static bool before_modify(struct change *c, const json_t *old, json_t *data)
{
    alias(data, "crontab", "cronExpr");
    defaults(data);
    touch(c->r, row_text(old, "id"));
    const json_t *zone = json_object_get(data, "timezone");
    return cron_check(c->r, text_of(row_text(data, "cronExpr")),
                      text_of(row_text(zone != NULL ? data : old, "timezone"))) &&
           target_before_modify(c, old, data);
}

static bool before_delete(struct change *c, const json_t *old)
{
    touch(c->r, row_text(old, "id"));
    return true;
}

static tn_rc deleted(struct api_req *r, tn_err *err)
{
    const struct touched *t = r->state;
    tn_rc rc = changed(r, err);
    for (uint32_t i = 0; t != NULL && t->n <= TOUCHED_MAX && i < t->n; i++) {
        tn_err gone = TN_ERR_INIT;
        json_t *row = cron_job_row(text_of(t->ids[i]), &gone);
        if (row == NULL && gone.rc == TN_E_NOTFOUND) {
            cron_state_drop(text_of(t->ids[i]));
        }
        json_decref(row);
    }
    return rc;
}

static const struct crud cron_job_crud = {
    .entity = "cronJob",
    .label = "cron job",
    .origin = true,
    .before_add = before_add,
    .before_modify = before_modify,
    .before_delete = before_delete,
    .changed = deleted,
};

static void cron_row(struct api_req *r, json_t *row)
{
    (void)r;
    json_object_set_new(row, "lastTaskStatus", record_last_get(text_of(row_text(row, "id"))));
    cron_state_row(row);
}

/* ---- tables ---------------------------------------------------------------------------------- */
/* clang-format off */
static const char *const sort[] = {"seq", "funcId", NULL};
static const char *const fuzzy[] = {TARGET_FUZZY("cron")};
static const struct list_spec cron_job_list = {.entity = "cronJob", .paging = PAGE_NORMAL,
                                               .sort = sort, .fuzzy = fuzzy, .row = cron_row};
#define SCOPE {.name = "scope", .type = F_COMMA, .op = TN_OP_IN, .column = "cron.scope"}
static const struct field cron_job_list_query[] = {TARGET_FILTERS("cron", F_STR, TN_OP_EQ), SCOPE,
                                                   {.name = NULL}};
static const struct field cron_job_many_query[] = {TARGET_FILTERS("cron", F_COMMA, TN_OP_IN), SCOPE,
                                                   {.name = NULL}};
#define EXPR                                                                                      \
    {.name = "cronExpr", .type = F_STR, .flags = FF_NULL, .max = 64},                             \
    {.name = "crontab", .type = F_STR, .flags = FF_NULL, .max = 64},                              \
    {.name = "timezone", .type = F_STR, .flags = FF_NULL, .max = 64}
#define OWN                                                                                       \
    {.name = "overlapPolicy", .type = F_STR, .flags = FF_NULL,                                    \
     .choices = "skip|bufferOne|bufferAll|cancelOther|allowAll"},                                 \
    {.name = "catchUpPolicy", .type = F_STR, .flags = FF_NULL, .choices = "none|last|all"},       \
    {.name = "catchUpWindow", .type = F_INT, .flags = FF_NULL, .min = 1, .max = 31622400}
#define SINGLE                                                                                    \
    {.name = "scope", .type = F_STR, .flags = FF_NULL, .max = 255},                               \
    {.name = "expireTime", .type = F_TIME, .flags = FF_NULL}
static const struct field cron_add[] = {TARGET_ID, TARGET_FUNC(FF_REQUIRED), TARGET_COMMON, EXPR,
                                        OWN, SINGLE, {.name = NULL}};
static const struct field cron_modify[] = {TARGET_FUNC(0), TARGET_COMMON, EXPR, OWN, SINGLE,
                                           {.name = NULL}};
static const struct field cron_many[] = {TARGET_FUNC(0), TARGET_COMMON, EXPR, OWN, {.name = NULL}};
static const struct field cron_item[] = {{.name = "data", .type = F_OBJ, .sub = cron_add}};
static const struct field cron_job_add_body[] = TARGET_DATA(F_OBJ, cron_add);
static const struct field cron_job_modify_body[] = TARGET_DATA(F_OBJ, cron_modify);
static const struct field cron_job_add_many_body[] = TARGET_DATA(F_ARR, cron_item);
static const struct field cron_job_modify_many_body[] = TARGET_DATA(F_OBJ, cron_many);

const struct api_route cron_job_routes[] = {
    TARGET_ROUTES("/api/v1/cron-jobs", "cron jobs", cron_job),
    TARGET_ROUTES("/api/v1/crontab-configs", "cron jobs (legacy name: crontab configs)", cron_job),
    {.method = NULL}};
/* clang-format on */
