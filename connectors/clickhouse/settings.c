/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of a statement: those of the connector and those of the call, in the form that the server's revision reads. */
#include "clickhouse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Servers before 20.x read a setting as a number or as a text, by its name: what is not said in the right way makes them
 * wait for bytes that never come. These are texts, even where the value may look like a whole number. */
static const char *const textual[] = {"load_balancing",
                                      "count_distinct_implementation",
                                      "join_default_strictness",
                                      "join_algorithm",
                                      "format_schema",
                                      "format_regexp",
                                      "date_time_input_format",
                                      "send_logs_level",
                                      "special_sort",
                                      "log_queries_min_type",
                                      "metrics_perf_events_list",
                                      "default_database_engine",
                                      "totals_auto_threshold",
                                      "max_streams_multiplier_for_merge_tables",
                                      "partial_merge_join_rows_in_left_blocks",
                                      NULL};
static const char *const textual_ends[] = {"_mode",   "_method", "_ratio",     "_probability",
                                           "_codec",  "_rule",   "_delimiter", "_url",
                                           "_format", "_row",    "_resultset", NULL};

static bool is_textual(const char *name, size_t n)
{
    for (size_t i = 0; textual[i] != NULL; i++) {
        if (strlen(textual[i]) == n && memcmp(textual[i], name, n) == 0) {
            return true;
        }
    }
    for (size_t i = 0; textual_ends[i] != NULL; i++) {
        size_t k = strlen(textual_ends[i]);
        if (n > k && memcmp(name + n - k, textual_ends[i], k) == 0) {
            return true;
        }
    }
    return false;
}

static bool whole(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return false;
        }
    }
    return n != 0 && n < 20;
}

static tn_rc put_setting(struct ch_conn *c, const char *name, size_t name_n, const char *value,
                         size_t n, tn_err *err)
{
    bool text = c->rev >= CH_REV_TEXT_SETTINGS || is_textual(name, name_n);
    char digits[24];
    if (!text && !whole(value, n)) {
        return ch_host->fail(
            err, TN_E_INVAL,
            "settings: this server (before 20.x) takes a whole number for `%.*s`, not `%.*s`",
            (int)(name_n < 80 ? name_n : 80), name, (int)(n < 80 ? n : 80), value);
    }
    ch_put_text(&c->out, name, name_n);
    if (c->rev >= CH_REV_TEXT_SETTINGS) {
        ch_putv(&c->out, 0);
    }
    if (text) {
        ch_put_text(&c->out, value, n);
    } else {
        snprintf(digits, sizeof digits, "%.*s", (int)n, value);
        ch_putv(&c->out, strtoull(digits, NULL, 10));
    }
    return TN_OK;
}

/* "a=1, b=text" of the configuration. */
static tn_rc put_configured(struct ch_conn *c, tn_err *err)
{
    const char *p = c->inst->conf->settings;
    while (p != NULL && *p != '\0') {
        p += strspn(p, ", \n");
        size_t n = strcspn(p, ","), name = strcspn(p, "=");
        if (n == 0) {
            break;
        }
        const char *value = p + name + 1, *end = p + n;
        if (name == 0 || name >= n) {
            return ch_host->fail(err, TN_E_CONFIG, "settings: `%.*s` is not name=value",
                                 (int)(n < 80 ? n : 80), p);
        }
        while (end > value && end[-1] == ' ') {
            end--;
        }
        tn_rc rc = put_setting(c, p, name, value, (size_t)(end - value), err);
        if (rc != TN_OK) {
            return rc;
        }
        p += n;
    }
    return TN_OK;
}

static tn_rc put_given(struct ch_conn *c, const tn_val *settings, tn_err *err)
{
    char number[40];
    if (settings == NULL || settings->type == TN_T_NULL) {
        return TN_OK;
    }
    if (settings->type != TN_T_MAP) {
        return ch_host->fail(err, TN_E_INVAL,
                             "settings must be a dict, for example {'max_threads': 2}");
    }
    for (uint32_t i = 0; i < settings->n; i++) {
        const tn_val *k = &settings->u.map[i].key, *v = &settings->u.map[i].val;
        const char *text = number;
        size_t n = 0;
        if (k->type != TN_T_STR || k->n == 0) {
            return ch_host->fail(err, TN_E_INVAL, "settings has a name that is empty or no text");
        }
        if (v->type == TN_T_INT || v->type == TN_T_BOOL) {
            n = (size_t)snprintf(number, sizeof number, "%lld", (long long)v->u.i);
        } else if (v->type == TN_T_FLOAT) {
            n = (size_t)snprintf(number, sizeof number, "%.17g", v->u.f);
        } else if (v->type == TN_T_STR || v->type == TN_T_DECIMAL) {
            text = v->u.s;
            n = v->n;
        } else {
            return ch_host->fail(err, TN_E_INVAL,
                                 "settings: the value of `%.*s` is neither a number nor a text",
                                 (int)(k->n < 80 ? k->n : 80), k->u.s);
        }
        tn_rc rc = put_setting(c, k->u.s, k->n, text, n, err);
        if (rc != TN_OK) {
            return rc;
        }
    }
    return TN_OK;
}

tn_rc ch_put_settings(struct ch_conn *c, const struct ch_ask *ask, tn_err *err)
{
    tn_rc rc = TN_OK;
    if (c->method == 0x90) {
        rc = put_setting(c, "network_compression_method", 26, "zstd", 4, err);
    }
    if (rc == TN_OK && ask->stream) { /* a block is what is in memory */
        rc = put_setting(c, "max_block_size", 14, "8192", 4, err);
    }
    rc = rc == TN_OK ? put_configured(c, err) : rc;
    rc = rc == TN_OK ? put_given(c, ask->settings, err) : rc;
    ch_putz(&c->out, "");
    return rc;
}
