/* SPDX-License-Identifier: Apache-2.0 */
/* tenon-worker --doctor: the jail tried out as the zygote would, and the language booted. Nothing is left behind. */
#include "kernel/base/fd.h"
#include "kernel/base/finding.h"
#include "kernel/base/log.h"
#include "kernel/worker/worker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PACKAGES "extra-python-packages"

/* Without settings the language knows no resource folder, and so makes none. */
static const char *env_setting(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return NULL;
}

static void check_language(const struct lang_host *lang, const struct settings *s, struct buf *out)
{
    const struct lang_env env = {.log = log_env, .setting = env_setting};
    tn_err err = TN_ERR_INIT;
    char folder[4096];
    struct stat st;
    if (lang->boot(&env, &err)) {
        finding_put(out, lang->name, FINDING_FAIL,
                    "reinstall the interpreter's packages (python3, "
                    "libpython3 of the distribution)",
                    "%s", err.msg);
        return;
    }
    snprintf(folder, sizeof(folder), "%s/" PACKAGES, s->resources);
    finding_put(out, lang->name, FINDING_OK, "", "%s; packages of your own: %s%s", lang->version(),
                folder, stat(folder, &st) == 0 ? "" : " (made at the first start)");
}

static void check_jail(const struct settings *s, struct buf *out)
{
    static struct jail j;
    tn_err err = TN_ERR_INIT;
    if (jail_open(&j, s, &err)) {
        finding_put(out, "isolation", FINDING_FAIL,
                    "useradd --system --no-create-home that name, or set worker_user", "%s",
                    err.msg);
        return;
    }
    jail_probe(&j);
    buf_adds(out, "{\"isolation\":");
    jail_json(&j, out);
    buf_adds(out, "}\n");
}

/* What the zygote of the last start found: only that is true of a service that runs. */
static void put_kept(const struct settings *s, struct buf *out)
{
    char path[4096], *text = NULL;
    snprintf(path, sizeof(path), "%s/" JAIL_FILE, s->data);
    if (fd_read_file(path, 65536, &text, NULL) >= 0 && !strchr(text, '\n')) {
        buf_printf(out, "{\"kept\":%s}\n", text);
    }
    free(text);
}

int worker_doctor(int argc, char **argv, const struct lang_host *lang)
{
    struct settings s;
    struct conf_problems problems = {.text = BUF_INIT(65536)};
    struct buf out = BUF_INIT(1u << 20);
    log_open("worker", TN_LOG_WARNING, -1);
    if (settings_load(&s, NULL, argc, argv, &problems)) {
        fprintf(stderr, "%s",
                problems.text.data ? problems.text.data : "configuration is broken\n");
        return 1;
    }
    check_jail(&s, &out); /* forks: before there is an interpreter */
    put_kept(&s, &out);
    check_language(lang, &s, &out);
    int rc = out.failed || fd_write_all(STDOUT_FILENO, out.data, out.len);
    fflush(NULL);
    _exit(rc); /* an interpreter that was only tried is not worth taking down */
}
