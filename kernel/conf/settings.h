/* SPDX-License-Identifier: Apache-2.0 */
/* The platform's own settings: one table, read the same way by every process. Order of precedence:
 * default < file < conf.d < environment TENON_<NAME> < environment DFF_<KEY> (spec 6.3) < command line. */
#pragma once
#include "kernel/conf/conf.h"

struct settings {
    const char *data;                 /* --data DIR: everything the platform keeps; created 0700 */
    const char *listen;               /* --listen ADDR:PORT, several comma separated */
    const char *plugins;              /* folders of *.so; default: beside the binary, then libdir */
    const char *log_level;            /* error warning notice info debug */
    const char *log_format;           /* auto text json journal */
    const char *log_file;             /* "" = stderr */
    bool dev;                         /* --dev or DFF_MODE=dev */
    const char *timezone;             /* Asia/Shanghai */
    const char *resources;            /* RESOURCE_ROOT_PATH, default <data>/resources */
    const char *web_base_url;         /* absolute URLs are built from it; "" = from nothing */
    const char *cors_origin;          /* "true" = reflect any, "" = none, else comma list */
    const char *trusted_proxies;      /* CIDR list whose X-Forwarded-* count; "" = none */
    int64_t workers_min, workers_max; /* processes of the default group */
    int64_t queue_max;                /* calls that may wait per group before 503 */
    tn_dur queue_wait;                /* longest such wait */
    tn_bytes worker_memory;     /* of a worker: address space and control group; 0 = no limit */
    tn_bytes worker_file_size;  /* of one file that a worker writes, 0 = none */
    int64_t worker_processes;   /* processes and threads of one worker, 0 = no limit */
    int64_t worker_files;       /* descriptors of one process */
    tn_bytes worker_result;     /* of one call */
    const char *worker_sandbox; /* required on off */
    const char *worker_user;    /* user of the workers when tenond runs as root; "" = the same */
    const char *worker_read;    /* further folders that scripts may read, ":"-separated */
    const char *worker_write;   /* further folders that scripts may write */
    tn_bytes body_max;          /* 50M */
    tn_bytes upload_max;        /* 10G */
    tn_dur drain;               /* longest graceful stop */
    int64_t worker_calls;       /* a worker is replaced after so many calls, +-10 % */
    tn_dur worker_age;          /* but not before that age, unless it has grown */
    tn_dur worker_idle;         /* one beyond the least number leaves after */
    int64_t helper_threads;
    bool auto_setup;
    const char *auto_setup_admin_username;
    tn_secret auto_setup_admin_password;
    const char *auto_setup_ak_id;
    tn_secret auto_setup_ak_secret;
    const char *queue_workers; /* "16" or "16,3=64": processes of the queues other than 1 and 5 */
    int64_t tasks_max;         /* durable calls that may wait in one queue */
    tn_dur task_keep, task_keep_dead; /* rows of ended tasks, of dead letters */
    int64_t task_keep_count;
    tn_bytes task_keep_bytes;
    tn_bytes cache_memory;   /* bound of the cache in the hub */
    const char *cache_redis; /* HOST:PORT of a Redis server for the cache; "" = in the hub, unless
                                   REDIS_HOST is set */
    const char *store;       /* connector type of the store: "sqlite" */
    tn_bytes records_bytes;  /* of records.db, beyond it the oldest go */
    int64_t records_days;    /* age at which records go */
    tn_dur clean_every;      /* the cleaner's period */
    bool cron_seconds;       /* six fields mean seconds, see settings.c */
    const char *frontend_engine; /* frontend plugin that listens: "h1" */
    bool disable_integrated_signin;
    int64_t bad_signin_lock_count, bad_signin_lock_max_wait;
    struct map *dff;   /* other known DFF_<KEY> values of spec 6.3 and CUSTOM_*; may be NULL */
    tn_secret secret;  /* DFF_SECRET: key of values encrypted by the original, "" = none */
    struct conf *conf; /* every item read: the sections of the plugins for plug_attach() */
};
extern const tn_field settings_fields[];

/* argv: options only, without the program's name: "--key value", "--key=value", "--flag", "--no-flag";
 * "--config FILE" too; unknown ones are problems. config_path may be NULL (then --config, then
 * $TENON_CONFIG, then /etc/tenon/tenon.yaml when present). TN_E_CONFIG with all problems; s is to be
 * given to settings_finish() in both cases. Secrets are registered with log_mask(). */
tn_rc settings_load(struct settings *s, const char *config_path, int argc, char **argv,
                    struct conf_problems *p);
/* Is there such a zone? ret_path: the file that it is, or would be, in. */
bool settings_zone_file(const char *zone, char *ret_path, size_t cap);
/* Whoever names a zone wants that one, and no other that stands in for it. The default is not asked: the data base of zones
 * may be missing as a whole, which tenon doctor tells. For who is about to run the platform. */
tn_rc settings_check_zone(const struct settings *s, struct conf_problems *p);
/* Of log_level; NOTICE when that is not known. */
int settings_log_level(const struct settings *s);
/* Opens the log of this process as the settings want it, on standard error; also after settings that are wrong. */
void settings_open_log(const struct settings *s, const char *process);
/* After settings_load(), before other threads and processes are: TENON_* and DFF_* variables whose name
 * says password, secret, token, key or private are wiped from the environment of this process. */
void settings_hide_environment(void);
void settings_finish(struct settings *s);
/* Value by DFF key name ("MODE", "RESOURCE_ROOT_PATH", "_FUNC_TASK_TIMEOUT_DEFAULT" ...); NULL unknown.
 * Secrets are never given out here. */
const char *settings_dff(const struct settings *s, const char *key);
/* Secrets of spec 6.3 that no member holds ("MYSQL_PASSWORD", "REDIS_PASSWORD"); NULL unknown. */
const char *settings_dff_secret(const struct settings *s, const char *key);
/* All known keys and CUSTOM_* as a JSON object with values of their type; secrets are null. */
void settings_dff_json(const struct settings *s, struct buf *out);
/* Iterates the known DFF keys (documentation, system-info). */
const char *settings_dff_key(size_t i);
