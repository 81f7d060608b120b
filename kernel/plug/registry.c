/* SPDX-License-Identifier: Apache-2.0 */
/* The plugins of this installation: listing folders, duplicates, opening, loading. */
#include "kernel/plug/plug_int.h"

#include "kernel/base/err.h"
#include "kernel/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_MAX 512

static tn_rc add_report(struct plug_registry *r, const char *path, const char *problem, tn_err *err)
{
    if (r->nreports >= FILES_MAX) {
        return err_set(err, TN_E_LIMIT, "more than %d plugin files; %s is one too many", FILES_MAX,
                       path);
    }
    struct plug_report *more = realloc(r->reports, (r->nreports + 1) * sizeof *more);
    char *copy = str_dup(str_of(path)), *why = problem != NULL ? str_dup(str_of(problem)) : NULL;
    if (more != NULL) {
        r->reports = more;
    }
    if (more == NULL || copy == NULL || (problem != NULL && why == NULL)) {
        free(copy);
        free(why);
        return err_set(err, TN_E_NOMEM, "out of memory");
    }
    r->reports[r->nreports++] = (struct plug_report){.path = copy, .problem = why};
    return TN_OK;
}

static int is_so(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return e->d_name[0] != '.' && n > 3 && strcmp(e->d_name + n - 3, ".so") == 0;
}

/* The same file may be reached through two folders or links. */
static bool listed(const struct plug_registry *r, const struct stat *st)
{
    for (size_t i = 0; i < r->nreports; i++) {
        struct stat other;
        if (stat(r->reports[i].path, &other) == 0 && other.st_dev == st->st_dev &&
            other.st_ino == st->st_ino) {
            return true;
        }
    }
    return false;
}

static tn_rc list_folder(struct plug_registry *r, tn_str folder, tn_err *err)
{
    char *dir = str_dup(folder);
    struct dirent **names = NULL;
    if (dir == NULL) {
        return err_set(err, TN_E_NOMEM, "out of memory");
    }
    int n = scandir(dir, &names, is_so, alphasort);
    tn_rc rc = TN_OK;
    if (n < 0) {
        char why[160];
        snprintf(why, sizeof why, "the folder cannot be listed: %s", strerror(errno));
        rc = add_report(r, dir, why, err);
    }
    for (int i = 0; i < n; i++) {
        char *path = NULL;
        struct stat st;
        if (rc == TN_OK && asprintf(&path, "%s/%s", dir, names[i]->d_name) < 0) {
            rc = err_set(err, TN_E_NOMEM, "out of memory");
            path = NULL;
        }
        if (path != NULL && stat(path, &st) < 0) {
            rc = add_report(r, path, strerror(errno), err);
        } else if (path != NULL && !S_ISREG(st.st_mode)) {
            rc = add_report(r, path, "is not a regular file", err);
        } else if (path != NULL && !listed(r, &st)) {
            rc = add_report(r, path, NULL, err);
        }
        free(path);
        free(names[i]);
    }
    free(names);
    free(dir);
    return rc;
}

static void refuse_duplicates(struct plug_registry *r)
{
    for (size_t i = 0; i < r->nreports; i++) {
        struct plug_report *late = &r->reports[i];
        for (size_t j = 0; j < i && late->problem == NULL; j++) {
            const struct plug_report *first = &r->reports[j];
            if (first->problem == NULL && first->kind == late->kind &&
                strcmp(first->name, late->name) == 0 && /* NOLINT: no problem, so it has a name */
                asprintf(&late->problem,
                         "%s \"%s\" is already provided by %s; remove one of the files",
                         plug_kind_name(late->kind), late->name, first->path) < 0) {
                late->problem = NULL;
            }
        }
    }
}

tn_rc plug_discover(struct plug_registry *r, const char *folders, tn_err *err)
{
    tn_str rest = str_of(folders != NULL ? folders : ""), one;
    while (str_split(&rest, ':', &one)) {
        tn_rc rc = one.n != 0 ? list_folder(r, one, err) : TN_OK;
        if (rc != TN_OK) {
            return rc;
        }
    }
    for (size_t i = 0; i < r->nreports; i++) {
        plug_environment(r->reports[i].path);
    }
    tn_rc rc = plug_probe(r->reports, r->nreports, err);
    for (size_t i = 0; i < r->nreports; i++) {
        struct plug_report *report = &r->reports[i];
        if (report->problem == NULL && (report->name == NULL || report->version == NULL)) {
            report->problem = str_dup(TN_STR("out of memory"));
        }
    }
    if (rc == TN_OK) {
        refuse_duplicates(r);
    }
    return rc;
}

static bool is_open(const struct plug_registry *r, const char *path)
{
    for (size_t i = 0; i < r->n; i++) {
        if (strcmp(r->plugs[i]->path, path) == 0) {
            return true;
        }
    }
    return false;
}

tn_rc plug_open_all(struct plug_registry *r, uint32_t kinds, tn_err *err)
{
    for (size_t i = 0; i < r->nreports; i++) {
        struct plug_report *report = &r->reports[i];
        if (report->problem != NULL || (kinds & (1u << report->kind)) == 0 ||
            is_open(r, report->path)) {
            continue;
        }
        struct plug **more = realloc(r->plugs, (r->n + 1) * sizeof *more);
        if (more == NULL) {
            return err_set(err, TN_E_NOMEM, "out of memory");
        }
        r->plugs = more;
        tn_err why = TN_ERR_INIT;
        if (plug_open_file(report->path, NULL, NULL, &r->plugs[r->n], &why) == TN_OK) {
            r->n++;
        } else {
            report->problem = str_dup(str_of(why.msg));
        }
    }
    return TN_OK;
}

struct plug *plug_find(const struct plug_registry *r, uint32_t kind, const char *name)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->plugs[i]->desc.kind == kind && strcmp(r->plugs[i]->desc.name, name) == 0) {
            return r->plugs[i];
        }
    }
    return NULL;
}

tn_rc plug_load(struct plug *p, const tn_host *host, tn_err *err)
{
    if (p->loaded) {
        return TN_OK;
    }
    tn_err why = TN_ERR_INIT;
    tn_rc rc = p->desc.load != NULL ? p->desc.load(host, &why) : TN_OK;
    if (rc != TN_OK) {
        why.msg[sizeof why.msg - 1] = '\0';
        return err_set(err, rc, "%s %s (%s) does not load: %s", plug_kind_name(p->desc.kind),
                       p->desc.name, p->path != NULL ? p->path : "built in",
                       why.msg[0] != '\0' ? why.msg : err_rc_name(rc));
    }
    p->loaded = 1;
    return TN_OK;
}

void plug_registry_finish(struct plug_registry *r)
{
    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < r->n; i++) {
        plug_close(r->plugs[i]);
    }
    for (size_t i = 0; i < r->nreports; i++) {
        struct plug_report *report = &r->reports[i];
        free(report->path);
        free(report->name);
        free(report->version);
        free(report->problem);
        free(report->summary);
        free(report->about);
    }
    free(r->plugs);
    free(r->reports);
    memset(r, 0, sizeof *r);
}
