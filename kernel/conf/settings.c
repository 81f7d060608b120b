/* SPDX-License-Identifier: Apache-2.0 */
/* The platform's own settings: the table, and gathering them from all sources in order. */
#include "kernel/conf/settings.h"

#include "kernel/base/err.h"
#include "kernel/base/map.h"
#include "kernel/base/str.h"
#include "kernel/conf/settings_int.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_FILE "/etc/tenon/tenon.yaml"

static const char *const sandbox_modes[] = {"required", "on", "off", NULL};
static const char *const log_levels[] = {"error", "warning", "notice", "info", "debug", NULL};

static const char *const log_formats[] = {"auto", "text", "json", "journal", NULL};

const tn_field settings_fields[] = {
    {TN_FIELD(struct settings, data), .dflt = "tenon-data",
     .doc = "Folder of everything the platform keeps; created with mode 0700."},
    {TN_FIELD(struct settings, listen), .dflt = "0.0.0.0:8088", .flags = TN_F_RESTART,
     .doc = "Addresses to listen on, ADDRESS:PORT, several comma separated."},
    {TN_FIELD(struct settings, plugins), .dflt = "", .flags = TN_F_RESTART,
     .doc = "Folders of plugins, colon separated; empty: those beside the program."},
    {TN_FIELD(struct settings, log_level), .dflt = "info", .choices = log_levels,
     .doc = "Least important messages that are logged."},
    {TN_FIELD(struct settings, log_file), .dflt = "",
     .doc = "File that log lines are appended to; empty: standard error."},
    {TN_FIELD(struct settings, log_format), .dflt = "auto", .choices = log_formats,
     .doc =
         "Form of log lines: text, json (an object a line), journal (fields for systemd), or auto: "
         "journal when standard error leads there, else text."},
    {TN_FIELD(struct settings, dev), .dflt = "false",
     .doc = "Development mode: error answers carry details."},
    {TN_FIELD(struct settings, timezone), .dflt = "Asia/Shanghai", .min = 1, .max = 64,
     .doc = "Time zone of schedules and shown times, a name of the IANA data base."},
    {TN_FIELD(struct settings, resources), .dflt = "",
     .doc = "Folder of scripts' resource files; empty: \"resources\" in the data folder."},
    {TN_FIELD(struct settings, web_base_url), .dflt = "", .max = 1024,
     .doc =
         "Base of absolute URLs in answers, e.g. https://func.example.com; empty: none is known."},
    {TN_FIELD(struct settings, cors_origin), .dflt = "true", .max = 4096,
     .doc = "Origins that browsers may call from: true for any, empty for none, or a comma list."},
    {TN_FIELD(struct settings, trusted_proxies), .dflt = "", .max = 4096,
     .doc = "Networks (CIDR, comma list) whose X-Forwarded-* headers count; empty: none."},
    {TN_FIELD(struct settings, workers_min), .dflt = "2", .min = 1, .max = 1024,
     .doc = "Worker processes that always wait for calls."},
    {TN_FIELD(struct settings, workers_max), .dflt = "32", .min = 1, .max = 1024,
     .doc = "Worker processes at most; every one runs one call at a time."},
    {TN_FIELD(struct settings, queue_max), .dflt = "1000", .min = 1, .max = 1000000,
     .doc = "Calls that may wait for a worker before further ones are answered with 503."},
    {TN_FIELD(struct settings, queue_wait), .dflt = "30s", .min = 100, .max = 3600000,
     .doc = "Longest time a call may wait for a worker."},
    {TN_FIELD(struct settings, worker_memory), .dflt = "4G", .min = 0, .max = (int64_t)1 << 44,
     .doc = "Memory that a worker may use (address space; with control groups also all of its "
            "processes together); 0: no limit."},
    {TN_FIELD(struct settings, worker_file_size), .dflt = "2G", .min = 0, .max = (int64_t)1 << 44,
     .doc = "Largest file that a worker may write; 0: no limit."},
    {TN_FIELD(struct settings, worker_processes), .dflt = "256", .min = 0, .max = 1000000,
     .doc = "Processes and threads that a worker may have; 0: no limit."},
    {TN_FIELD(struct settings, worker_files), .dflt = "1024", .min = 64, .max = 1000000,
     .doc = "Files and sockets that a process of a worker may hold open."},
    {TN_FIELD(struct settings, worker_result), .dflt = "512M", .min = 1024, .max = (int64_t)1 << 30,
     .doc = "Largest result of a call."},
    {TN_FIELD(struct settings, worker_sandbox), .dflt = "on", .choices = sandbox_modes,
     .flags = TN_F_RESTART,
     .doc = "Isolation of workers: required refuses to start when a layer is missing, on says so "
            "loudly, off uses rlimits alone."},
    {TN_FIELD(struct settings, worker_user), .dflt = "tenon-worker", .max = 32,
     .flags = TN_F_RESTART,
     .doc = "User that workers run as when the platform is started by root; empty: the same user."},
    {TN_FIELD(struct settings, worker_read), .dflt = "", .max = 4096, .flags = TN_F_RESTART,
     .doc = "Further files and folders that scripts may read, colon separated."},
    {TN_FIELD(struct settings, worker_write), .dflt = "", .max = 4096, .flags = TN_F_RESTART,
     .doc = "Further folders that scripts may write, colon separated."},
    {TN_FIELD(struct settings, body_max), .dflt = "50M", .min = 1024, .max = (int64_t)1 << 34,
     .doc = "Largest request body."},
    {TN_FIELD(struct settings, upload_max), .dflt = "10G", .min = 1024, .max = (int64_t)1 << 44,
     .doc = "Largest multipart request with files."},
    {TN_FIELD(struct settings, drain), .dflt = "30s", .min = 0, .max = 3600000,
     .doc = "Longest time that a stop waits for running calls."},
    {TN_FIELD(struct settings, worker_calls), .dflt = "10000", .min = 1, .max = 1000000000,
     .doc = "Calls after which a worker process is replaced, give or take 10 %."},
    {TN_FIELD(struct settings, worker_age), .dflt = "1m", .min = 0, .max = 86400000,
     .doc =
         "A worker that has had worker_calls calls before it is this old goes on for as many again, unless "
         "its memory has grown by 16M since its first calls; 0: it is replaced at once."},
    {TN_FIELD(struct settings, worker_idle), .dflt = "1m", .min = 100, .max = 86400000,
     .doc = "A worker beyond workers_min leaves after so long without a call."},
    {TN_FIELD(struct settings, queue_workers), .dflt = "16", .max = 256,
     .doc =
         "Worker processes at most for each queue but 1 and 5, which have their own: a number, and "
         "exceptions as QUEUE=NUMBER, comma separated: 16,3=64."},
    {TN_FIELD(struct settings, tasks_max), .dflt = "2000000", .min = 1, .max = 1000000000,
     .doc = "Durable calls that may wait in one queue before further ones are refused."},
    {TN_FIELD(struct settings, task_keep), .dflt = "7d", .min = 0, .max = 315360000000,
     .doc = "How long an ended durable call can be asked for its result."},
    {TN_FIELD(struct settings, task_keep_dead), .dflt = "30d", .min = 0, .max = 315360000000,
     .doc = "The same for dead letters."},
    {TN_FIELD(struct settings, task_keep_count), .dflt = "100000", .min = 0, .max = 1000000000,
     .doc = "Ended durable calls that are kept at most; the oldest go first."},
    {TN_FIELD(struct settings, task_keep_bytes), .dflt = "2G", .min = 0, .max = (int64_t)1 << 44,
     .doc = "Size of jobs.db from which on ended calls are removed earlier; 0: no limit."},
    {TN_FIELD(struct settings, helper_threads), .dflt = "4", .min = 1, .max = 64,
     .flags = TN_F_RESTART,
     .doc = "Threads of the hub for what may block: store queries, password hashing."},
    {TN_FIELD(struct settings, auto_setup), .dflt = "false",
     .doc = "Create the administrator from the auto_setup_* settings at the first start."},
    {TN_FIELD(struct settings, auto_setup_admin_username), .dflt = "admin", .min = 1, .max = 64,
     .doc = "Name of the administrator that auto_setup creates."},
    {TN_FIELD(struct settings, auto_setup_admin_password), .max = 1024,
     .doc = "Password of that administrator; without one a random password is printed once."},
    {TN_FIELD(struct settings, auto_setup_ak_id), .dflt = "ak-auto-setup", .min = 1, .max = 64,
     .doc = "Id of the access key that auto_setup creates when auto_setup_ak_secret is set."},
    {TN_FIELD(struct settings, auto_setup_ak_secret), .max = 1024,
     .doc = "Secret of that access key."},
    {TN_FIELD(struct settings, cache_memory), .dflt = "64M", .min = 1 << 20,
     .max = (int64_t)1 << 36, .flags = TN_F_RESTART,
     .doc = "Memory that DFF.CACHE may use when it lives in the hub; writes beyond it fail."},
    {TN_FIELD(struct settings, cache_redis), .dflt = "", .max = 300, .flags = TN_F_RESTART,
     .doc =
         "Redis server of DFF.CACHE, HOST:PORT; user, password and database come from REDIS_USER, "
         "REDIS_PASSWORD, REDIS_DATABASE. Empty: the one of REDIS_HOST if set, else the hub's memory."},
    {TN_FIELD(struct settings, store), .dflt = "sqlite", .min = 1, .max = 32, .flags = TN_F_RESTART,
     .doc = "Connector that holds the platform's own data: sqlite, postgresql or mysql."},
    {TN_FIELD(struct settings, records_bytes), .dflt = "1G", .min = 1 << 20,
     .max = (int64_t)1 << 44,
     .doc = "Bytes that records of tasks and operations may take; beyond it the oldest go."},
    {TN_FIELD(struct settings, records_days), .dflt = "90", .min = 1, .max = 36500,
     .doc = "Days after which records go."},
    {TN_FIELD(struct settings, clean_every), .dflt = "5m", .min = 100, .max = 86400000,
     .doc = "Time between two runs of what removes old records, files and leftovers."},
    {TN_FIELD(struct settings, cron_seconds), .dflt = "false", .flags = TN_F_RESTART,
     .doc =
         "Cron jobs whose expression has six fields run at the seconds that its first field says, "
         "instead of once a minute when that field matches second 0, as the original does."},
    {TN_FIELD(struct settings, frontend_engine), .dflt = "h1", .min = 1, .max = 32,
     .flags = TN_F_RESTART,
     .doc = "Frontend plugin that listens: h1 (our own) or http (libmicrohttpd)."},
    {TN_FIELD(struct settings, disable_integrated_signin), .dflt = "false",
     .doc = "Refuse sign-in through functions of the integration signIn."},
    {TN_FIELD(struct settings, bad_signin_lock_count), .dflt = "10", .min = 1, .max = 1000000,
     .doc = "Wrong passwords after which a user name is locked for growing times."},
    {TN_FIELD(struct settings, bad_signin_lock_max_wait), .dflt = "900", .min = 1, .max = 86400000,
     .doc = "Longest such lock in seconds."},
    {TN_FIELD(struct settings, secret), .max = 4096,
     .doc =
         "SECRET of a DataFlux Func installation whose data is imported; reads its encrypted values."},
    {0},
};

/* Environment names with our prefix that are no settings. */
static const char *const not_settings[] = {"TENON_CONFIG",  "TENON_URL",    "TENON_TOKEN",
                                           "TENON_CONTEXT", "TENON_ROOT",   "TENON_BUILD",
                                           "TENON_VARIANT", "TENON_WERROR", NULL};

static const tn_field *field_of(const char *name)
{
    for (const tn_field *f = settings_fields; f->name != NULL; f++) {
        if (strcmp(f->name, name) == 0) {
            return f;
        }
    }
    return NULL;
}

static bool is_dff_key(const char *key)
{
    size_t n = strlen(key);
    return n > 1 && strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n &&
           strpbrk(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL;
}

/* A file may hold our names, or those of a DataFlux Func user-config.yaml (flat, upper case). */
static void take_file(struct settings *s, const char *path, bool must, struct conf_problems *p)
{
    struct conf file;
    conf_init(&file);
    tn_err err = TN_ERR_INIT;
    tn_rc rc = conf_read_file(&file, path, p, &err);
    if (rc != TN_OK && (must || rc != TN_E_NOTFOUND)) {
        conf_problem(p, path, NULL, "%s", err.msg);
    }
    bool listen = false;
    for (size_t i = 0; i < file.n; i++) {
        struct conf_item *it = &file.items[i];
        if (is_dff_key(it->key)) {
            if (!it->null) {
                const char *value = it->joined != NULL ? it->joined : it->value;
                settings_dff_take(s, s->conf, it->key, value, it->where, p);
                listen |= strcmp(it->key, "WEB_BIND") == 0 || strcmp(it->key, "WEB_PORT") == 0;
            }
        } else if (conf_set(s->conf, it->key, it->value, it->where) == TN_OK) {
            struct conf_item *mine = (struct conf_item *)conf_get(s->conf, it->key);
            mine->null = it->null;
            mine->joined = it->joined;
            it->joined = NULL;
        }
    }
    if (listen) {
        settings_dff_listen(s, s->conf);
    }
    conf_finish(&file);
}

static bool is_not_setting(const char *name)
{
    for (const char *const *n = not_settings; *n != NULL; n++) {
        if (strcmp(*n, name) == 0) {
            return true;
        }
    }
    return strncmp(name, "TENON_TEST_", 11) == 0;
}

/* "TENON_WORKERS_MIN" */
static void take_own_env(struct settings *s, const char *name, const char *value,
                         struct conf_problems *p)
{
    char key[64], where[160];
    size_t n = 0;
    for (const char *c = name + strlen("TENON_"); *c != '\0' && n < sizeof key - 1; c++) {
        key[n++] = (char)tolower((unsigned char)*c);
    }
    key[n] = '\0';
    snprintf(where, sizeof where, "environment %.140s", name);
    if (field_of(key) != NULL) {
        conf_set(s->conf, key, value, where);
        return;
    }
    const char *meant = conf_did_you_mean(key, settings_fields);
    char upper[64] = "";
    for (size_t i = 0; meant != NULL && meant[i] != '\0' && i < sizeof upper - 1; i++) {
        upper[i] = (char)toupper((unsigned char)meant[i]);
        upper[i + 1] = '\0';
    }
    conf_problem(p, where, NULL, "unknown setting%s%s%s", meant ? "; did you mean TENON_" : "",
                 upper, meant ? "?" : "; remove it or correct its name");
}

static void take_env(struct settings *s, struct conf_problems *p)
{
    for (int dff = 0; dff < 2; dff++) {
        const char *prefix = dff ? "DFF_" : "TENON_";
        bool listen = false;
        for (char **e = environ; e != NULL && *e != NULL; e++) {
            const char *eq = strchr(*e, '=');
            char name[128];
            if (eq == NULL || strncmp(*e, prefix, strlen(prefix)) != 0 ||
                (size_t)(eq - *e) >= sizeof name ||
                (!dff && memmem(*e, (size_t)(eq - *e), "__", 2) != NULL)) {
                continue;
            }
            memcpy(name, *e, (size_t)(eq - *e));
            name[eq - *e] = '\0';
            if (!dff) {
                if (!is_not_setting(name)) {
                    take_own_env(s, name, eq + 1, p);
                }
                continue;
            }
            if (str_trim(str_of(eq + 1)).n != 0) {
                char where[160];
                snprintf(where, sizeof where, "environment %s", name);
                settings_dff_take(s, s->conf, name + 4, eq + 1, where, p);
                listen |= strcmp(name, "DFF_WEB_BIND") == 0 || strcmp(name, "DFF_WEB_PORT") == 0;
            }
        }
        if (listen) {
            settings_dff_listen(s, s->conf);
        }
    }
    if (environ != NULL) {
        conf_read_sections(s->conf, environ, p);
    }
}

/* "--workers-min=4" at argv[i]; returns how many arguments were used. */
/* The command line itself is wrong, not a value on it. */
static void not_so(struct conf_problems *p)
{
    if (p != NULL) {
        p->usage++;
    }
}

static int take_option(struct settings *s, int argc, char **argv, int i, const char **ret_config,
                       struct conf_problems *p)
{
    const char *arg = argv[i];
    char key[64], where[80];
    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0') {
        not_so(p);
        conf_problem(p, arg, NULL, "is no option; options start with --");
        return 1;
    }
    const char *eq = strchr(arg, '=');
    size_t n = eq != NULL ? (size_t)(eq - arg) - 2 : strlen(arg) - 2;
    n = n < sizeof key - 1 ? n : sizeof key - 1;
    for (size_t j = 0; j < n; j++) {
        key[j] = arg[2 + j] == '-' ? '_' : arg[2 + j];
    }
    key[n] = '\0';
    snprintf(where, sizeof where, "--%.*s", (int)n, arg + 2);
    const char *name = key;
    const tn_field *f = field_of(name);
    bool negated = false;
    if (f == NULL && strncmp(key, "no_", 3) == 0) {
        f = field_of(key + 3);
        negated = f != NULL && f->type == TN_C_BOOL;
        f = negated ? f : NULL;
        name = key + 3;
    }
    bool is_config = strcmp(key, "config") == 0;
    if (f == NULL && !is_config) {
        const char *meant = conf_did_you_mean(key, settings_fields);
        char shown[64] = "";
        for (size_t j = 0; meant != NULL && meant[j] != '\0' && j < sizeof shown - 1; j++) {
            shown[j] = meant[j] == '_' ? '-' : meant[j];
            shown[j + 1] = '\0';
        }
        not_so(p);
        conf_problem(p, where, NULL, "unknown option%s%s%s", meant ? "; did you mean --" : "",
                     shown, meant ? "?" : "; see --help");
        /* what follows was probably meant as its value */
        return eq == NULL && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0 ? 2 : 1;
    }
    if (f != NULL && f->type == TN_C_SECRET) {
        conf_problem(p, where, NULL,
                     "a secret does not belong on the command line, where everybody "
                     "can read it; use the file or the environment");
        return eq == NULL && i + 1 < argc ? 2 : 1;
    }
    if (f != NULL && f->type == TN_C_BOOL && eq == NULL) {
        conf_set(s->conf, name, negated ? "false" : "true", where);
        return 1;
    }
    if (eq == NULL && i + 1 >= argc) {
        not_so(p);
        conf_problem(p, where, NULL, "needs a value");
        return 1;
    }
    const char *value = eq != NULL ? eq + 1 : argv[i + 1];
    if (is_config) {
        *ret_config = value;
    } else {
        conf_set(s->conf, name, value, where);
    }
    return eq != NULL ? 1 : 2;
}

/* Sections of plugins are "<kind>.<name>.<setting>", the store's connector has "store.<setting>";
 * anything else with a dot is a mistake. */
static void check_sections(const struct conf *c, struct conf_problems *p)
{
    static const char *const kinds[] = {"connector", "auth", "trigger", "frontend", "api", NULL};
    for (size_t i = 0; i < c->n; i++) {
        tn_str rest = str_of(c->items[i].key), first;
        bool known = false;
        str_split(&rest, '.', &first);
        for (const char *const *k = kinds; *k != NULL; k++) {
            known = known || str_is(first, *k);
        }
        if (rest.s == NULL || str_is(first, "store")) {
            continue;
        }
        if (!known || memchr(rest.s, '.', rest.n) == NULL) {
            conf_problem(p, c->items[i].where, c->items[i].key,
                         "unknown section; sections are <kind>: <plugin>: <setting> with the kinds "
                         "connector, auth, trigger, frontend and api, and store.<setting>");
        }
    }
}

tn_rc settings_load(struct settings *s, const char *config_path, int argc, char **argv,
                    struct conf_problems *p)
{
    memset(s, 0, sizeof *s);
    struct conf_problems own = {.text = BUF_INIT(0)};
    struct conf options;
    const char *config = NULL;
    p = p != NULL ? p : &own;
    unsigned before = p->errors;
    s->conf = calloc(1, sizeof *s->conf);
    s->dff = calloc(1, sizeof *s->dff);
    if (s->conf == NULL || s->dff == NULL) {
        conf_problem(p, NULL, NULL, "out of memory");
        return TN_E_NOMEM;
    }
    /* The command line is read first, because it may name the file, and counts last. */
    for (int i = 0; i < argc;) {
        i += take_option(s, argc, argv, i, &config, p);
    }
    options = *s->conf;
    conf_init(s->conf);
    const char *dff_file = getenv("DFF_CONFIG_FILE_PATH");
    if (dff_file != NULL && *dff_file != '\0') {
        take_file(s, dff_file, true, p);
    }
    config = config_path != NULL ? config_path : config != NULL ? config : getenv("TENON_CONFIG");
    bool named = config != NULL && *config != '\0';
    take_file(s, named ? config : SYSTEM_FILE, named, p);
    take_env(s, p);
    for (size_t i = 0; i < options.n; i++) {
        conf_set(s->conf, options.items[i].key, options.items[i].value, options.items[i].where);
    }
    conf_finish(&options);
    if (conf_bind(s->conf, "", settings_fields, s, p) == TN_OK && s->workers_min > s->workers_max) {
        conf_problem(p, NULL, "workers_min",
                     "is %lld and workers_max is %lld; it must not be larger",
                     (long long)s->workers_min, (long long)s->workers_max);
    }
    check_sections(s->conf, p);
    settings_derive(s);
    settings_dff_reflect(s);
    unsigned errors = p->errors - before;
    conf_problems_finish(&own);
    return errors == 0 ? TN_OK : TN_E_CONFIG;
}

void settings_finish(struct settings *s)
{
    if (s == NULL) {
        return;
    }
    conf_free(settings_fields, s);
    if (s->dff != NULL) {
        map_finish(s->dff, free);
        free(s->dff);
    }
    conf_finish(s->conf);
    free(s->conf);
    memset(s, 0, sizeof *s);
}
