/* SPDX-License-Identifier: Apache-2.0 */
/* The setting names of DataFlux Func: an existing deployment's environment and user-config.yaml are
 * understood, and api plugins can ask for any of them. */
#include "kernel/conf/settings_int.h"

#include "kernel/base/map.h"
#include "kernel/base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a value must look like. */
enum { TEXT, INT, BOOL, LIST, MAP, SECRET };

static const struct dff_row {
    const char *key;
    int type;
    const char *dflt;
    const char *ours; /* the setting of ours that means the same */
} rows[] = {
    {"APP_NAME", TEXT, "DataFluxFunc", NULL},
    {"CONFIG_FILE_PATH", TEXT, "/data/user-config.yaml", NULL},
    {"RESOURCE_ROOT_PATH", TEXT, "/data/resources", "resources"},
    {"UPLOAD_TEMP_ROOT_FOLDER", TEXT, ".uploads", NULL},
    {"DOWNLOAD_TEMP_ROOT_FOLDER", TEXT, ".downloads", NULL},
    {"MODE", TEXT, "prod", "dev"},
    {"SECRET", SECRET, NULL, "secret"},
    {"LOG_LEVEL", TEXT, "WARNING", "log_level"},
    {"LOG_FILE_PATH", TEXT, "/data/logs/dataflux-func.log", "log_file"},
    {"LOG_FILE_FORMAT", TEXT, "text", "log_format"},
    {"LOG_CONSOLE_COLOR", BOOL, "false", NULL},
    {"TIMEZONE", TEXT, "Asia/Shanghai", "timezone"},
    {"DB_AUTO_BACKUP_LIMIT", INT, "168", NULL},
    {"DB_AUTO_BACKUP_SIZE_LIMIT", TEXT, "5GB", NULL},
    {"DB_AUTO_BACKUP_DIR", TEXT, "/data/sqldump/", NULL},
    {"WEB_BASE_URL", TEXT, "", "web_base_url"},
    {"WEB_INNER_BASE_URL", TEXT, "http://server-inner.func2:8088", NULL},
    {"WEB_BIND", TEXT, "0.0.0.0", "listen"},
    {"WEB_PORT", INT, "8088", "listen"},
    {"WEB_CORS_ORIGIN", TEXT, "true", "cors_origin"},
    {"WEB_CORS_CREDENTIALS", BOOL, "true", NULL},
    {"MYSQL_HOST", TEXT, "127.0.0.1", NULL},
    {"MYSQL_PORT", INT, "3306", NULL},
    {"MYSQL_USER", TEXT, "root", NULL},
    {"MYSQL_PASSWORD", SECRET, NULL, NULL},
    {"MYSQL_DATABASE", TEXT, "dataflux_func", NULL},
    {"REDIS_HOST", TEXT, "127.0.0.1", NULL},
    {"REDIS_PORT", INT, "6379", NULL},
    {"REDIS_DATABASE", INT, "5", NULL},
    {"REDIS_USER", TEXT, "", NULL},
    {"REDIS_PASSWORD", SECRET, NULL, NULL},
    {"REDIS_USE_TLS", BOOL, "false", NULL},
    {"REDIS_AUTH_TYPE", TEXT, "default", NULL},
    {"REDIS_TS_MAX_AGE", INT, "3600", NULL},
    {"REDIS_TS_MAX_PERIOD", INT, "259200", NULL},
    {"REDIS_TS_MIN_INTERVAL", INT, "60", NULL},
    {"DISABLE_INTEGRATED_SIGNIN", BOOL, "false", "disable_integrated_signin"},
    {"BAD_SINGIN_TEMPORARILY_LOCK_COUNT", INT, "10", "bad_signin_lock_count"},
    {"BAD_SINGIN_TEMPORARILY_LOCK_MAX_WAIT", INT, "900", "bad_signin_lock_max_wait"},
    {"AUTO_SETUP", BOOL, "false", "auto_setup"},
    {"AUTO_SETUP_ADMIN_USERNAME", TEXT, "admin", "auto_setup_admin_username"},
    {"AUTO_SETUP_ADMIN_PASSWORD", SECRET, NULL, "auto_setup_admin_password"},
    {"AUTO_SETUP_AK_ID", TEXT, "ak-auto-setup", "auto_setup_ak_id"},
    {"AUTO_SETUP_AK_SECRET", SECRET, NULL, "auto_setup_ak_secret"},
    {"_IS_INSTALLED", BOOL, "false", NULL},
    {"_IS_STREAKING", BOOL, "false", NULL},
    {"_EXTRA_PYTHON_PACKAGE_INSTALL_DIR", TEXT, "extra-python-packages", NULL},
    {"_FUNC_IMPORT_CONFIRM_TIMEOUT", INT, "900", NULL},
    {"_CLIENT_CONFLICT_EXPIRES", INT, "5", NULL},
    {"_WEB_AUTH_EXPIRES", INT, "86400", NULL},
    {"_WEB_CAPTCHA_EXPIRES", INT, "300", NULL},
    {"_WEB_AK_TIMESTAMP_DIFF_LIMIT", INT, "900", NULL},
    {"_WEB_AK_NONCE_TTL", INT, "86400", NULL},
    {"_WORKER_CONCURRENCY", INT, "5", NULL},
    {"_WORKER_QUEUE_COUNT", INT, "10", NULL},
    {"_WORKER_FETCH_TASK_TIMEOUT", INT, "15", NULL},
    {"_WORKER_PROCESS_CONSUME_LIMIT", INT, "10000", "worker_calls"},
    {"_WORKER_QUEUE_LIMIT_MIN", INT, "10000", NULL},
    {"_WORKER_QUEUE_LIMIT_SCALE_CRON_JOB", INT, "10", NULL},
    {"_TASK_EXPIRES_DEFAULT", INT, "3600", NULL},
    {"_TASK_TIMEOUT_DEFAULT", INT, "180", NULL},
    {"_TASK_RESULT_WAIT_TIMEOUT_MAX", INT, "180", NULL},
    {"_TASK_FLUSH_DATA_BUFFER_BULK_COUNT", INT, "1000", NULL},
    {"_TASK_FLUSH_DATA_BUFFER_BULK_TIMES", INT, "100", NULL},
    {"_TASK_FLUSH_DATA_BUFFER_TIMEOUT", INT, "300", NULL},
    {"_TASK_RECORD_LIMIT_MIN", INT, "0", NULL},
    {"_TASK_RECORD_LIMIT_MAX", INT, "10000", NULL},
    {"_TASK_RECORD_LIMIT_DEFAULT", INT, "1000", NULL},
    {"_TASK_RECORD_FUNC_LIMIT_DIRECT", INT, "1000", NULL},
    {"_TASK_RECORD_FUNC_LIMIT_INTEGRATION", INT, "1000", NULL},
    {"_TASK_RECORD_FUNC_LIMIT_CONNECTOR", INT, "1000", NULL},
    {"_TASK_RECORD_FUNC_LIMIT_SYNC_API", INT, "100", NULL},
    {"_TASK_RECORD_FUNC_LIMIT_ASYNC_API", INT, "100", NULL},
    {"_TASK_RECORD_FUNC_LIMIT_CRON_JOB", INT, "500", NULL},
    {"_TASK_RECORD_FUNC_LIMIT_CRON_JOB_BY_DEPLOY", INT, "100", NULL},
    {"_TASK_RECORD_PRINT_LOG_LINE_LIMIT", INT, "3000", NULL},
    {"_TASK_RECORD_PRINT_LOG_TOTAL_LIMIT_HEAD", INT, "20000", NULL},
    {"_TASK_RECORD_PRINT_LOG_TOTAL_LIMIT_TAIL", INT, "30000", NULL},
    {"_CONNECTOR_CHECK_TASK_TIMEOUT", INT, "15", NULL},
    {"_CONNECTOR_QUERY_TASK_TIMEOUT", INT, "15", NULL},
    {"_FUNC_ARGUMENT_PLACEHOLDER_LIST", LIST, "INPUT_BY_CALLER,FROM_PARAMETER", NULL},
    {"_FUNC_TASK_QUEUE_DEFAULT", INT, "1", NULL},
    {"_FUNC_TASK_QUEUE_CRON_JOB", INT, "2", NULL},
    {"_FUNC_TASK_QUEUE_ASYNC_API", INT, "3", NULL},
    {"_FUNC_TASK_QUEUE_DEBUGGER", INT, "5", NULL},
    {"_FUNC_TASK_QUEUE_SUB_HANDLER", INT, "6", NULL},
    {"_FUNC_TASK_TIMEOUT_MIN", INT, "1", NULL},
    {"_FUNC_TASK_TIMEOUT_MAX", INT, "3600", NULL},
    {"_FUNC_TASK_TIMEOUT_DEFAULT", INT, "35", NULL},
    {"_FUNC_TASK_TIMEOUT_ASYNC_API", INT, "3600", NULL},
    {"_FUNC_TASK_TIMEOUT_DEBUGGER", INT, "60", NULL},
    {"_FUNC_TASK_EXPIRES_MIN", INT, "1", NULL},
    {"_FUNC_TASK_EXPIRES_MAX", INT, "86400", NULL},
    {"_FUNC_TASK_EXPIRES_DEFAULT", INT, "900", NULL},
    {"_FUNC_TASK_CONNECTOR_POOL_SIZE", INT, "1", NULL},
    {"_FUNC_TASK_THREAD_POOL_SIZE_DEFAULT", INT, "5", NULL},
    {"_FUNC_TASK_CALL_CHAIN_LIMIT", INT, "5", NULL},
    {"_FUNC_TASK_DISTRIBUTION_RANGE", INT, "0", NULL},
    {"_RECENT_CRON_JOB_TRIGGERED_EXPIRES", INT, "259200", NULL},
    {"_RECENT_CRON_JOB_TRIGGERED_LIMIT", INT, "3000", NULL},
    {"_UPLOAD_FILE_EXPIRES", INT, "3600", NULL},
    {"_SUB_BUFFER_LIMIT", INT, "10000", NULL},
    {"_SUB_RECENT_CONSUME_EXPIRES", INT, "604800", NULL},
    {"_LRU_FUNC_CACHE_LIMIT", INT, "1000", NULL},
    {"_LRU_FUNC_CACHE_MAX_AGE", INT, "5", NULL},
    {"_LRU_FUNC_RESULT_CACHE_LIMIT", INT, "2000", NULL},
    {"_LRU_FUNC_RESULT_CACHE_MAX_AGE", INT, "5", NULL},
    {"_HTTP_AUTH_NONCE_MAX_AGE", INT, "300", NULL},
    {"_BEAT_LOCK_EXPIRE", INT, "5", NULL},
    {"_MONITOR_REPORT_INTERVAL", INT, "15", NULL},
    {"_MONITOR_REPORT_EXPIRES", INT, "60", NULL},
    {"_MYSQL_CONNECTION_LIMIT_SERVER", INT, "10", NULL},
    {"_MYSQL_CONNECTION_LIMIT_WORKER", INT, "1", NULL},
    {"_MYSQL_CONNECT_TIMEOUT", INT, "15", NULL},
    {"_MYSQL_READ_TIMEOUT", INT, "30", NULL},
    {"_MYSQL_WRITE_TIMEOUT", INT, "30", NULL},
    {"_DISABLE_SETUP", BOOL, "false", NULL},
    {"_DISABLE_PRE_RUN_SCRIPTS", BOOL, "false", NULL},
    {"_DISABLE_INIT_SCRIPTS", BOOL, "false", NULL},
    {"_DISABLE_DB_AUTO_BACKUP", BOOL, "false", NULL},
    {"_DISABLE_STARTUP_TASKS", BOOL, "false", NULL},
};
#define NROWS (sizeof rows / sizeof rows[0])

static const struct dff_row *row_of(const char *key)
{
    for (size_t i = 0; i < NROWS; i++) {
        if (strcmp(rows[i].key, key) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

const char *settings_dff_key(size_t i)
{
    return i < NROWS ? rows[i].key : NULL;
}

static const char *value_of(const struct settings *s, const struct dff_row *row, const char *key)
{
    const char *set = s->dff != NULL ? map_get(s->dff, str_of(key)) : NULL;
    return set != NULL ? set : row != NULL ? row->dflt : NULL;
}

const char *settings_dff(const struct settings *s, const char *key)
{
    const struct dff_row *row = row_of(key);
    return row != NULL && row->type == SECRET ? NULL : value_of(s, row, key);
}

const char *settings_dff_secret(const struct settings *s, const char *key)
{
    const struct dff_row *row = row_of(key);
    return row != NULL && row->type == SECRET ? value_of(s, row, key) : NULL;
}

static void remember(struct settings *s, const char *key, const char *value)
{
    char *copy = str_dup(str_of(value));
    void *old = NULL;
    if (copy == NULL || map_put(s->dff, str_of(key), copy, &old) != 0) {
        free(copy);
        return;
    }
    free(old);
}

/* "a b\nc" and "a, b" to "a,b,c". */
static void join_list(const char *value, char sep, struct buf *out)
{
    for (bool first = true; *value != '\0';) {
        size_t n = strcspn(value, ", \t\r\n");
        if (n != 0) {
            buf_adds(out, first ? "" : (char[]){sep, '\0'});
            buf_add(out, value, n);
            first = false;
        }
        value += n + (value[n] != '\0');
    }
}

/* The spec's to_boolean: 1/0 for the words it knows, -1 for others. */
static int to_boolean(const char *value)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on",
                                        "0",     "1",    "n",  "y",   "f",   "t"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (str_ieq(str_of(value), str_of(words[i]))) {
            return (int)(i % 2);
        }
    }
    return -1;
}

/* The value in our own words; NULL: not acceptable, *ret_want says what is. */
static const char *our_value(const struct dff_row *row, const char *value, const char **ret_want)
{
    static const char *const levels[][2] = {{"ALL", "debug"},   {"DEBUG", "debug"},
                                            {"INFO", "info"},   {"WARNING", "warning"},
                                            {"ERROR", "error"}, {"NONE", "error"}};
    if (strcmp(row->key, "MODE") == 0) {
        *ret_want = "prod or dev";
        return strcmp(value, "dev") == 0 ? "true" : strcmp(value, "prod") == 0 ? "false" : NULL;
    }
    if (strcmp(row->key, "LOG_LEVEL") == 0) {
        *ret_want = "one of: ALL, DEBUG, INFO, WARNING, ERROR, NONE";
        for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
            if (str_ieq(str_of(value), str_of(levels[i][0]))) {
                return levels[i][1];
            }
        }
        return NULL;
    }
    return value;
}

void settings_dff_take(struct settings *s, struct conf *c, const char *key, const char *value,
                       const char *where, struct conf_problems *p)
{
    const struct dff_row *row = row_of(key);
    struct buf list = BUF_INIT(1 << 20);
    int64_t i;
    const char *want = NULL;
    if (row == NULL) {
        if (strncmp(key, "CUSTOM_", 7) == 0) {
            remember(s, key, value);
        }
        return;
    }
    if (row->type == INT && !str_to_i64(str_trim(str_of(value)), &i)) {
        want = "a whole number";
    } else if (row->type == BOOL) {
        int b = to_boolean(value);
        want = b < 0 ? "true or false" : NULL;
        value = b == 1 ? "true" : "false";
    } else if (row->type == LIST) {
        join_list(value, ',', &list);
        value = buf_str(&list).s;
    }
    if (want == NULL) {
        const char *ours = our_value(row, value, &want);
        if (ours != NULL) {
            remember(s, key, value);
            if (row->ours != NULL && strcmp(row->ours, "listen") != 0) {
                conf_set(c, row->ours, ours, where);
            }
            want = NULL;
        }
    }
    if (want != NULL) {
        conf_problem(p, where, key, "is not %s", want);
    }
    buf_finish(&list);
}

static void add_value(struct buf *out, int type, const char *v)
{
    int64_t i;
    if (v == NULL || type == SECRET) {
        buf_adds(out, "null");
    } else if ((type == INT && str_to_i64(str_trim(str_of(v)), &i)) || type == BOOL) {
        buf_adds(out, v);
    } else if (type == LIST) {
        tn_str rest = str_of(v), item;
        buf_addc(out, '[');
        for (const char *sep = ""; rest.n > 0 && str_split(&rest, ',', &item); sep = ",") {
            buf_adds(out, sep);
            buf_quote(out, item);
        }
        buf_addc(out, ']');
    } else {
        buf_quote(out, str_of(v));
    }
}

void settings_dff_json(const struct settings *s, struct buf *out)
{
    tn_str key;
    void *value;
    buf_addc(out, '{');
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_adds(out, i > 0 ? "," : "");
        buf_quote(out, str_of(rows[i].key));
        buf_addc(out, ':');
        add_value(out, rows[i].type, settings_dff(s, rows[i].key));
    }
    for (size_t i = 0; s->dff != NULL && map_next(s->dff, &i, &key, &value);) {
        if (str_prefix(key, "CUSTOM_")) {
            buf_addc(out, ',');
            buf_quote(out, key);
            buf_addc(out, ':');
            buf_quote(out, str_of(value));
        }
    }
    buf_addc(out, '}');
}

void settings_dff_listen(struct settings *s, struct conf *c)
{
    const char *bind = value_of(s, row_of("WEB_BIND"), "WEB_BIND");
    const char *port = value_of(s, row_of("WEB_PORT"), "WEB_PORT");
    char listen[300];
    bool v6 = strchr(bind, ':') != NULL && bind[0] != '[';
    snprintf(listen, sizeof listen, "%s%.255s%s:%.16s", v6 ? "[" : "", bind, v6 ? "]" : "", port);
    conf_set(c, "listen", listen, "DFF WEB_BIND and WEB_PORT");
}

void settings_dff_reflect(struct settings *s)
{
    char text[32];
    const struct {
        const char *key, *value;
    } texts[] = {
        {"RESOURCE_ROOT_PATH", s->resources},
        {"TIMEZONE", s->timezone},
        {"LOG_FILE_PATH", s->log_file},
        {"MODE", s->dev ? "dev" : "prod"},
        {"WEB_BASE_URL", s->web_base_url},
        {"WEB_CORS_ORIGIN", s->cors_origin},
        {"DISABLE_INTEGRATED_SIGNIN", s->disable_integrated_signin ? "true" : "false"},
        {"AUTO_SETUP", s->auto_setup ? "true" : "false"},
        {"AUTO_SETUP_ADMIN_USERNAME", s->auto_setup_admin_username},
        {"AUTO_SETUP_AK_ID", s->auto_setup_ak_id},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        remember(s, texts[i].key, texts[i].value != NULL ? texts[i].value : "");
    }
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"BAD_SINGIN_TEMPORARILY_LOCK_COUNT", s->bad_signin_lock_count},
        {"BAD_SINGIN_TEMPORARILY_LOCK_MAX_WAIT", s->bad_signin_lock_max_wait},
        {"_WORKER_PROCESS_CONSUME_LIMIT", s->worker_calls},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(text, sizeof text, "%lld", (long long)numbers[i].value);
        remember(s, numbers[i].key, text);
    }
    size_t n = 0;
    for (; s->log_level != NULL && s->log_level[n] != '\0' && n < sizeof text - 1; n++) {
        text[n] = (char)toupper((unsigned char)s->log_level[n]);
    }
    text[n] = '\0';
    remember(s, "LOG_LEVEL", strcmp(text, "NOTICE") == 0 ? "INFO" : text);
    /* The first listening address. */
    tn_str rest = str_of(s->listen), first;
    if (str_split(&rest, ',', &first)) {
        first = str_trim(first);
        const char *colon = memrchr(first.s, ':', first.n);
        char addr[300];
        if (colon != NULL && first.n < sizeof addr) {
            snprintf(addr, sizeof addr, "%.*s", (int)(colon - first.s), first.s);
            remember(s, "WEB_BIND", *addr != '\0' ? addr : "0.0.0.0");
            snprintf(addr, sizeof addr, "%.*s", (int)(first.s + first.n - colon - 1), colon + 1);
            remember(s, "WEB_PORT", addr);
        }
    }
}
