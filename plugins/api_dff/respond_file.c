/* SPDX-License-Identifier: Apache-2.0 */
/* Files as answers: opened beneath the resource root whatever the path says, sent by descriptor. */
#include "respond.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* For kernels and seccomp filters without openat2: one component after the other, no links at all. */
static int open_stepwise(int root, const char *path)
{
    char name[256];
    int at = dup(root);
    while (at >= 0) {
        size_t n = strcspn(path, "/");
        const char *next = path + n + strspn(path + n, "/");
        int fd = -1;
        if (n >= sizeof name || (n == 2 && memcmp(path, "..", 2) == 0)) {
            errno = n == 2 ? EXDEV : ENAMETOOLONG;
        } else {
            memcpy(name, path, n);
            name[n] = '\0';
            fd = openat(at, n > 0 ? name : ".",
                        O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
                            (*next != '\0' ? O_DIRECTORY : 0));
        }
        int why = errno;
        close(at);
        errno = why;
        if (fd < 0 || *next == '\0') {
            return fd;
        }
        at = fd;
        path = next;
    }
    return -1;
}

/* Nothing outside `root` can be reached: no "..", no absolute path, no link that leads out. */
static int open_beneath(int root, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
    return fd >= 0 || (errno != ENOSYS && errno != EPERM) ? fd : open_stepwise(root, path);
}

/* A weak tag from what changes when the file does. True: the client has it already. */
static bool file_unchanged(struct answer *a, const struct stat *st)
{
    char tag[64];
    int n = snprintf(tag, sizeof tag, "W/\"%llx-%llx\"", (unsigned long long)st->st_size,
                     (unsigned long long)st->st_mtim.tv_sec * 1000000000u +
                         (unsigned long long)st->st_mtim.tv_nsec);
    tn_str kept = answer_keep(a, (tn_str){tag, (size_t)n});
    tn_str has = tn_http_header(a->call->req, "if-none-match");
    a->stamp.flags &= ~TN_REPLY_ETAG;
    if (kept.s != NULL) {
        api_stamp_header(&a->stamp, TN_STR("ETag"), kept);
    }
    return has.n > 0 && (text_is(has, "*") || memmem(has.s, has.n, tag + 2, (size_t)n - 2) != NULL);
}

static bool fail(struct answer *a, const char *what, tn_str path)
{
    snprintf(a->why, sizeof a->why, "%s: %.*s", what, (int)(path.n > 200 ? 200 : path.n),
             path.n > 0 ? path.s : "");
    return false;
}

bool answer_file(struct answer *a, bool kept, bool *ret_missing)
{
    const tn_json_member *m = &a->control.file;
    char path[512];
    struct stat st;
    tn_str name;
    *ret_missing = false;
    if (m->kind != TN_JSON_STRING) {
        return fail(a, "The file path of the response is no text", m->value);
    }
    size_t need = api.host->json->unquote(m->value, NULL, 0);
    size_t root = strlen(calls.resources);
    if (root + need + 2 > sizeof path) {
        return fail(a, "The file path of the response is too long", m->value);
    }
    memcpy(path, calls.resources, root);
    path[root] = '/';
    char *below = path + root + 1;
    api.host->json->unquote(m->value, below, need);
    below[need] = '\0';
    size_t lead = strspn(below, "/");
    memmove(below, below + lead, need - lead + 1);
    tn_str shown = {below, need - lead};
    if (memchr(below, '\0', shown.n) != NULL || shown.n == 0) {
        return fail(a, "No such file in Resource folder", shown);
    }
    int fd = open_beneath(calls.resources_fd, below);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        *ret_missing = true;
        if (fd >= 0) {
            close(fd);
        }
        return fail(a, "No such file in Resource folder", shown);
    }
    bool attach = !text_is(a->control.download.value, "false");
    const char *slash = strrchr(below, '/');
    tn_str base = text_of(slash != NULL ? slash + 1 : below);
    bool named = answer_download(a, &name) && name.n > 0;
    tn_str given = answer_type(a);
    const char *type = mime_of(attach && named ? name : base);
    bool text = strncmp(type, "text/", 5) == 0 || strcmp(type, "application/json") == 0 ||
                strcmp(type, "application/javascript") == 0;
    if (given.n > 0) {
        type = NULL;
        text = memmem(given.s, given.n, "charset", 7) == NULL &&
               (text_has_prefix(given, "text/") || text_has_prefix(given, "application/json"));
        a->type = answer_keep(a, given);
    } else {
        a->type = answer_keep(a, text_of(type));
    }
    if (text &&
        a->type.n > 0) { /* what was kept last ends at the end of the text: make it longer */
        answer_keep(a, TN_STR("; charset=utf-8"));
        a->type.n += 15;
    }
    if (attach && !answer_attach(a, named ? name : base)) {
        close(fd);
        return false;
    }
    if (a->control.allow304 && file_unchanged(a, &st)) {
        struct str none = {0};
        close(fd);
        a->status = 304;
        answer_send(a, &none);
        return true;
    }
    bool remove = a->control.auto_delete && !kept && a->call->cache_s == 0;
    answer_send_fd(a, fd, (uint64_t)st.st_size, remove ? path : NULL);
    return true;
}
