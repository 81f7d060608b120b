/* SPDX-License-Identifier: Apache-2.0 */
/* What the platform is doing now and did lately: figures, series, abnormal requests (spec 1.12). */
#include "list.h"
#include "rows.h"
#include "watch.h"

#include <string.h>

static json_t *parsed(tn_text *text)
{
    json_t *v = text->s != NULL ? json_loadb(text->s, text->n, 0, NULL) : NULL;
    api.host->free(api.host->ctx, text->s);
    return v;
}

json_t *figures_read(tn_err *err)
{
    tn_text text = {NULL, 0};
    if (api.host->metrics == NULL) {
        api.host->fail(err, TN_E_UNAVAIL, "no figures in this process");
        return NULL;
    }
    if (api.host->metrics->read(api.host->ctx, &text, err) != TN_OK) {
        return NULL;
    }
    json_t *v = parsed(&text);
    if (v == NULL) {
        api.host->fail(err, TN_E_NOMEM, "no memory for the figures");
    }
    return v;
}

json_t *queues_read(void)
{
    tn_text text = {NULL, 0};
    tn_err err = TN_ERR_INIT;
    if (api.host->tasks == NULL || api.host->tasks->status(api.host->ctx, &text, &err) != TN_OK) {
        return json_array();
    }
    json_t *v = parsed(&text), *list = json_object_get(v, "queues");
    if (json_is_object(v) && list != NULL) {
        json_incref(list);
        json_decref(v);
        return list;
    }
    return v != NULL ? v : json_array();
}

static void platform_get(struct api_req *r)
{
    tn_text status = {NULL, 0};
    tn_err err = TN_ERR_INIT;
    if (api.host->calls->status(api.host->ctx, &status, &err) != TN_OK) {
        api_fail_err(r, &err);
        return;
    }
    api_ok_text(r, (tn_str){status.s, status.n});
    api.host->free(api.host->ctx, status.s);
}

static void series_get(struct api_req *r)
{
    api_ok(r, series_all());
}

/* ---- abnormal requests ------------------------------------------------------------------------ */
static bool of_type(struct api_req *r, struct filters *f)
{
    tn_err err = TN_ERR_INIT;
    if (api.host->records->flush(api.host->ctx, &err) != TN_OK) {
        api_fail_err(r, &err);
        return false;
    }
    filters_eq(f, "abn.recordGroup", api_param(r, 0));
    return true;
}

/* The stored object is the row. */
static void abnormal_row(struct api_req *r, json_t *row)
{
    static const char *const names[][2] = {
        {"method", "reqMethod"}, {"url", "reqURL"}, {"bodyDump", "reqBodyDump"}};
    json_t *stored = json_incref(json_object_get(row, "requestJSON"));
    const json_t *dump = json_object_get(stored, "request");
    (void)r;
    json_object_clear(row);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *v = json_object_get(dump, names[i][0]);
        json_object_set(row, names[i][1], v != NULL ? v : json_null());
    }
    json_object_update(row, stored);
    json_object_del(row, "request");
    json_decref(stored);
}

static const struct list_spec abnormal_list = {
    .entity = "abnormalRequest", .paging = PAGE_NORMAL, .filters = of_type, .row = abnormal_row};

const struct api_route monitor_routes[] = {
    {"GET", "/api/v1/monitor/platform/do/get", "general_r",
     "Worker groups, workers and calls by state", platform_get, NULL, NULL, NULL, 0},
    {"GET", "/api/v1/monitor/system-metrics/do/get", "general_r",
     "Processor time, memory, queues and calls over the last day", series_get, NULL, NULL, NULL, 0},
    {"GET", "/api/v1/monitor/abnormal-requests/:type/do/list", "general_r",
     "Lists requests that were slow or failed", list_run, NULL, NULL, &abnormal_list, 0},
    {.method = NULL}};
