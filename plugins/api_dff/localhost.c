/* SPDX-License-Identifier: Apache-2.0 */
/* The localhost token of spec 1.1. The file is read at every use, so that a new token counts at once;
 * that costs microseconds and happens for operators only. */
#include "localhost.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_LEN 32
#define TOKEN_MIN 16 /* characters of a token somebody wrote by hand */

static bool token_path(char ret[4096], const char *end)
{
    int n = snprintf(ret, 4096, "%s/localhost-auth-token%s", api_setting("TENON_DATA", "/data"),
                     end);
    return n > 0 && n < 4096;
}

/* Writes beside and renames: a token is there as a whole or not at all. */
static tn_rc token_write(const char *path, tn_err *err)
{
    char beside[4096], token[TOKEN_LEN + 2];
    if (!token_path(beside, ".new")) {
        return api.host->fail(err, TN_E_INVAL, "the path of the data folder is too long");
    }
    api.host->auth->random_id(token, TOKEN_LEN);
    token[TOKEN_LEN] = '\n';
    unlink(beside); /* left by a start that was cut short */
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && fchmod(fd, 0600) == 0 &&
              write(fd, token, TOKEN_LEN + 1) == TOKEN_LEN + 1 && fsync(fd) == 0;
    int why = errno;
    sodium_memzero(token, sizeof token);
    if (fd >= 0) {
        close(fd);
    }
    if (ok && rename(beside, path) == 0) {
        return TN_OK;
    }
    why = ok ? errno : why;
    unlink(beside);
    return api.host->fail(err, TN_E_INTERNAL, "cannot write %s: %s", path, strerror(why));
}

tn_rc localhost_start(tn_err *err)
{
    char path[4096];
    struct stat st;
    if (!token_path(path, "")) {
        return api.host->fail(err, TN_E_INVAL, "the path of the data folder is too long");
    }
    if (lstat(path, &st) == 0) {
        if (!S_ISREG(st.st_mode) || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
            api.host->log(api.host->ctx, TN_LOG_WARNING,
                          "%s should be a file of mode 0600: who reads it is the administrator",
                          path);
        }
        return TN_OK;
    }
    if (errno != ENOENT) {
        return api.host->fail(err, TN_E_INTERNAL, "cannot read %s: %s", path, strerror(errno));
    }
    return token_write(path, err);
}

/* A client of this machine that came without a proxy: what a proxy says about its client may be made
 * up, and a remote one must never look local. */
static bool is_local(const tn_http_req *req)
{
    return (req->flags & TN_REQ_TRUSTED_PROXY) == 0 &&
           tn_http_header(req, "x-forwarded-for").s == NULL &&
           (text_has_prefix(req->peer, "127.") || text_is(req->peer, "::1") ||
            text_has_prefix(req->peer, "::ffff:127."));
}

bool localhost_token_ok(const tn_http_req *req, tn_str given)
{
    char path[4096], text[512];
    if (!is_local(req) || !token_path(path, "")) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0) {
        close(fd);
    }
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' ')) {
        n--;
    }
    bool ok = n >= TOKEN_MIN && api.host->auth->equal(text, (size_t)n, given.s, given.n);
    sodium_memzero(text, sizeof text);
    return ok;
}
