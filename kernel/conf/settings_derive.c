/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from the settings: defaults that depend on other things, secrets to mask, the form of the log. */
#include "kernel/base/buf.h"
#include "kernel/base/fd.h"
#include "kernel/base/list.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/conf/settings_int.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void add_folder(struct buf *out, const char *folder)
{
    char real[PATH_MAX];
    struct stat st;
    if (realpath(folder, real) != NULL && stat(real, &st) == 0 && S_ISDIR(st.st_mode) &&
        (out->len == 0 || strstr(out->data, real) == NULL)) {
        buf_printf(out, "%s%s", out->len != 0 ? ":" : "", real);
    }
}

/* Plugins beside the running program: in the build tree, then installed. */
static char *default_plugins(void)
{
    static const char *const places[] = {"../plugins", "plugins", "../lib/tenon/plugins"};
    char exe[PATH_MAX], path[PATH_MAX + 32];
    struct buf out = BUF_INIT(PATH_MAX * 4);
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n > 0) {
        exe[n] = '\0';
        *strrchr(exe, '/') = '\0';
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            snprintf(path, sizeof path, "%s/%s", exe, places[i]);
            add_folder(&out, path);
        }
    }
    return buf_take(&out, NULL);
}

bool settings_zone_file(const char *zone, char *path, size_t cap)
{
    const char *root = getenv("TZDIR");
    char head[4] = "";
    snprintf(path, cap, "%s/%s", root != NULL && *root != '\0' ? root : "/usr/share/zoneinfo",
             zone);
    int fd = strstr(zone, "..") != NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    bool found = fd >= 0 && fd_read_full(fd, head, sizeof head) == sizeof head &&
                 memcmp(head, "TZif", 4) == 0;
    fd_close(&fd);
    return found;
}

tn_rc settings_check_zone(const struct settings *s, struct conf_problems *p)
{
    const struct conf_item *named = conf_get(s->conf, "timezone");
    char path[PATH_MAX];
    if (named == NULL || named->null || s->timezone == NULL ||
        settings_zone_file(s->timezone, path, sizeof path)) {
        return TN_OK;
    }
    conf_problem(p, named->where, "timezone",
                 "\"%s\" is no time zone, there is no %s; expected a name like Europe/Berlin "
                 "(package tzdata)",
                 s->timezone, path);
    return TN_E_CONFIG;
}

void settings_derive(struct settings *s)
{
    if (s->plugins != NULL && *s->plugins == '\0') {
        char *found = default_plugins();
        if (found != NULL) {
            free((char *)s->plugins);
            s->plugins = found;
        }
    }
    if (s->resources != NULL && *s->resources == '\0' && s->data != NULL) {
        char *path = NULL;
        if (asprintf(&path, "%s/resources", s->data) >= 0) {
            free((char *)s->resources);
            s->resources = path;
        }
    }
    const char *const secrets[] = {s->auto_setup_admin_password.s, s->auto_setup_ak_secret.s,
                                   s->secret.s, settings_dff_secret(s, "MYSQL_PASSWORD"),
                                   settings_dff_secret(s, "REDIS_PASSWORD")};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        log_mask(str_of(secrets[i]));
    }
}

int settings_log_level(const struct settings *s)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {{"error", TN_LOG_ERROR},
                  {"warning", TN_LOG_WARNING},
                  {"notice", TN_LOG_NOTICE},
                  {"info", TN_LOG_INFO},
                  {"debug", TN_LOG_DEBUG}};
    for (size_t i = 0; s->log_level != NULL && i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(s->log_level, levels[i].name) == 0) {
            return levels[i].level;
        }
    }
    return TN_LOG_NOTICE;
}

/* A log file is never the journal. */
static const char *log_form_of(const struct settings *s)
{
    const char *form = s->log_format != NULL ? s->log_format : "auto";
    bool file = s->log_file != NULL && s->log_file[0] != '\0';
    return file && strcmp(form, "auto") == 0 ? "text" : form;
}

void settings_open_log(const struct settings *s, const char *process)
{
    log_open(process, settings_log_level(s), -1);
    log_form(log_form_of(s), NULL);
}
