/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a request body: in memory while small, in an unlinked file beyond, mapped when complete. */
#include "plugins/http_common/http.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct body {
    uint8_t *data; /* in memory, or the mapping */
    size_t n, cap;
    uint64_t spool_above;
    char *dir;
    int fd; /* -1 while in memory */
    bool mapped;
};

struct body *body_create(const char *dir, uint64_t expected, uint64_t spool_above)
{
    struct body *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    b->fd = -1;
    b->spool_above = spool_above;
    b->dir = strdup(dir);
    /* What the client announces is a hint, not an order to allocate. */
    size_t hint = expected > 65536 ? 65536 : (size_t)expected;
    b->data = hint > 0 ? malloc(hint) : NULL;
    b->cap = b->data != NULL ? hint : 0;
    if (b->dir == NULL) {
        body_destroy(b);
        return NULL;
    }
    return b;
}

static tn_rc write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k <= 0) {
            return TN_E_LIMIT;
        }
        p += k;
        n -= (size_t)k;
    }
    return TN_OK;
}

/* A file without a name: it goes with the process, whatever happens. */
static int unnamed_file(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) {
        return fd;
    }
    char path[4352];
    if (strlen(dir) > 4096) {
        return -1;
    }
    strcpy(path, dir);
    strcat(path, "/tenon-body-XXXXXX");
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) {
        unlink(path);
    }
    return fd;
}

static tn_rc spool(struct body *b)
{
    b->fd = unnamed_file(b->dir);
    if (b->fd < 0) {
        fe_host->log(fe_host->ctx, TN_LOG_ERROR, "http: cannot create a file for a body in %s: %s",
                     b->dir, strerror(errno));
        return TN_E_UNAVAIL;
    }
    tn_rc rc = write_all(b->fd, b->data, b->n);
    free(b->data);
    b->data = NULL;
    b->cap = 0;
    return rc;
}

tn_rc body_add(struct body *b, const void *data, size_t n)
{
    if (b->fd < 0 && b->n + n > b->spool_above) {
        tn_rc rc = spool(b);
        if (rc != TN_OK) {
            return rc;
        }
    }
    if (b->fd >= 0) {
        tn_rc rc = write_all(b->fd, data, n);
        if (rc == TN_OK) {
            b->n += n;
        }
        return rc;
    }
    if (b->n + n > b->cap) {
        size_t cap = b->cap * 2 > b->n + n ? b->cap * 2 : b->n + n;
        uint8_t *p = realloc(b->data, cap);
        if (p == NULL) {
            return TN_E_NOMEM;
        }
        b->data = p;
        b->cap = cap;
    }
    memcpy(b->data + b->n, data, n);
    b->n += n;
    return TN_OK;
}

tn_rc body_done(struct body *b, const uint8_t **ret, size_t *ret_n)
{
    if (b->fd >= 0 && !b->mapped) {
        void *p = mmap(NULL, b->n, PROT_READ, MAP_PRIVATE, b->fd, 0);
        if (p == MAP_FAILED) {
            return TN_E_NOMEM;
        }
        b->data = p;
        b->mapped = true;
    }
    *ret = b->data != NULL ? b->data : (const uint8_t *)"";
    *ret_n = b->n;
    return TN_OK;
}

void body_destroy(struct body *b)
{
    if (b == NULL) {
        return;
    }
    if (b->mapped) {
        munmap(b->data, b->n);
    } else {
        free(b->data);
    }
    if (b->fd >= 0) {
        close(b->fd);
    }
    free(b->dir);
    free(b);
}
