/* SPDX-License-Identifier: Apache-2.0 */
/* Multipart bodies of one request: fields stay in memory, files go straight to the upload directory.
 * Until the request is complete nothing of it may survive; afterwards the files belong to the api. */
#include "plugins/http_common/http.h"
#include "plugins/http_common/multipart.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARTS_MAX     128
#define FIELD_MEMORY  (16u << 20) /* bytes of all plain fields of one request */
#define RANDOM_CHARS  16
#define FILE_NAME_MAX 200 /* of the client's name: with the stamp it must fit NAME_MAX */

struct upload {
    struct message *msg;
    struct multipart *mp;
    struct text_refusal why;
    tn_http_part *parts;
    uint32_t n, cap, nfiles;
    size_t field_bytes;
    int fd;         /* of the file that is being written, -1 for a field */
    bool skip;      /* a file input without a file: browsers send one with an empty name */
    uint8_t *value; /* of the field that is being read */
    size_t value_n, value_cap;
};

static bool refuse(struct text_refusal *why, uint32_t status, const char *text)
{
    *why = (struct text_refusal){status, text};
    return false;
}

static bool keep(struct upload *u, tn_str s, tn_str *ret, struct text_refusal *why)
{
    char *p = message_alloc(u->msg, s.n + 1, 1);
    if (p == NULL) {
        return refuse(why, 503, "no memory for the multipart body");
    }
    memcpy(p, s.s, s.n);
    p[s.n] = '\0';
    *ret = (tn_str){p, s.n};
    return true;
}

/* <upload_dir>/<stamp>_<16 random>_<name>. The name is cut at a character, and has neither slash nor
 * control characters already. */
static bool open_file(struct upload *u, tn_http_part *part, struct text_refusal *why)
{
    const tn_http_plan *plan = &u->msg->plan;
    const char *stamp = plan->upload_stamp != NULL ? plan->upload_stamp : "0";
    char id[RANDOM_CHARS + 1];
    size_t n = part->filename.n < FILE_NAME_MAX ? part->filename.n : FILE_NAME_MAX;
    while (n > 0 && n < part->filename.n && ((unsigned char)part->filename.s[n] & 0xC0) == 0x80) {
        n--;
    }
    fe_host->auth->random_id(id, RANDOM_CHARS);
    size_t dir_n = strlen(plan->upload_dir), stamp_n = strlen(stamp);
    size_t total = dir_n + 1 + stamp_n + 1 + RANDOM_CHARS + 1 + n;
    char *path = message_alloc(u->msg, total + 1, 1);
    if (path == NULL) {
        return refuse(why, 503, "no memory for the multipart body");
    }
    char *p = path;
    memcpy(p, plan->upload_dir, dir_n);
    p += dir_n;
    *p++ = '/';
    memcpy(p, stamp, stamp_n);
    p += stamp_n;
    *p++ = '_';
    memcpy(p, id, RANDOM_CHARS);
    p += RANDOM_CHARS;
    *p++ = '_';
    memcpy(p, part->filename.s, n);
    p[n] = '\0';
    /* The group of the folder is that of the workers, where they run as another user. */
    u->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (u->fd < 0) {
        fe_host->log(fe_host->ctx, TN_LOG_ERROR, "http: cannot create the upload %s: %s", path,
                     strerror(errno));
        return refuse(why, 503, "no room for the uploaded file");
    }
    part->path = (tn_str){path, total};
    return true;
}

static bool part_begin(void *user, const struct multipart_head *head, struct text_refusal *why)
{
    struct upload *u = user;
    bool file = head->filename.s != NULL;
    u->fd = -1;
    u->value_n = 0;
    u->skip = file && head->filename.n == 0;
    if (u->skip) {
        return true;
    }
    if (u->nfiles + file > PARTS_MAX) {
        return refuse(why, 413, "the multipart body has more than 128 files");
    }
    if (!file && u->n - u->nfiles >= (uint32_t)u->msg->conf->max_fields) {
        return refuse(why, 413, "the multipart body has too many fields");
    }
    if (u->n == u->cap) {
        uint32_t cap = u->cap > 0 ? u->cap * 2 : 8;
        tn_http_part *p = realloc(u->parts, cap * sizeof *p);
        if (p == NULL) {
            return refuse(why, 503, "no memory for the multipart body");
        }
        u->parts = p;
        u->cap = cap;
    }
    tn_http_part *part = &u->parts[u->n];
    memset(part, 0, sizeof *part);
    if (!keep(u, head->name, &part->name, why) || !keep(u, head->type, &part->type, why) ||
        !keep(u, head->encoding, &part->encoding, why)) {
        return false;
    }
    if (file && (!keep(u, head->filename, &part->filename, why) || !open_file(u, part, why))) {
        return false;
    }
    u->n++;
    u->nfiles += file;
    return true;
}

static bool field_data(struct upload *u, const char *p, size_t n, struct text_refusal *why)
{
    u->field_bytes += n;
    if (u->field_bytes > FIELD_MEMORY) {
        return refuse(why, 413, "the fields of the multipart body are too large");
    }
    if (u->value_n + n > u->value_cap) {
        size_t cap = u->value_cap * 2 > u->value_n + n ? u->value_cap * 2 : u->value_n + n;
        uint8_t *v = realloc(u->value, cap);
        if (v == NULL) {
            return refuse(why, 503, "no memory for the multipart body");
        }
        u->value = v;
        u->value_cap = cap;
    }
    memcpy(u->value + u->value_n, p, n);
    u->value_n += n;
    return true;
}

static bool part_data(void *user, const char *p, size_t n, struct text_refusal *why)
{
    struct upload *u = user;
    if (u->skip) {
        return true;
    }
    u->parts[u->n - 1].size += n;
    if (u->fd < 0) {
        return field_data(u, p, n, why);
    }
    while (n > 0) {
        ssize_t k = write(u->fd, p, n);
        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k <= 0) {
            fe_host->log(fe_host->ctx, TN_LOG_ERROR, "http: cannot write the upload %s: %s",
                         u->parts[u->n - 1].path.s, strerror(errno));
            return refuse(why, 503, "no room for the uploaded file");
        }
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static bool part_end(void *user, struct text_refusal *why)
{
    struct upload *u = user;
    if (u->skip) {
        return true;
    }
    if (u->fd >= 0) {
        int fd = u->fd;
        u->fd = -1;
        return close(fd) == 0 || refuse(why, 503, "no room for the uploaded file");
    }
    return keep(u, (tn_str){u->value_n > 0 ? (const char *)u->value : "", u->value_n},
                &u->parts[u->n - 1].value, why);
}

static const struct multipart_events events = {part_begin, part_data, part_end};

bool upload_wanted(const struct message *m)
{
    tn_str type = tn_http_header(&m->req, "content-type");
    return (m->plan.flags & TN_PLAN_MULTIPART) && type.n >= 10 &&
           text_equal_ci((tn_str){type.s, 10}, "multipart/");
}

struct upload *upload_create(struct message *m, struct text_refusal *why)
{
    if (m->plan.upload_dir == NULL) {
        refuse(why, 415, "multipart bodies are not accepted here");
        return NULL;
    }
    struct upload *u = calloc(1, sizeof *u);
    if (u == NULL) {
        refuse(why, 503, "no memory for the multipart body");
        return NULL;
    }
    u->msg = m;
    u->fd = -1;
    u->mp = multipart_create(tn_http_header(&m->req, "content-type"), &events, u, why);
    if (u->mp == NULL) {
        free(u);
        return NULL;
    }
    return u;
}

bool upload_add(struct upload *u, const void *data, size_t n, struct text_refusal *why)
{
    return multipart_feed(u->mp, data, n, why);
}

bool upload_done(struct upload *u, struct text_refusal *why)
{
    if (!multipart_finish(u->mp, why)) {
        return false;
    }
    u->msg->req.parts = u->parts;
    u->msg->req.nparts = u->n;
    return true;
}

void upload_destroy(struct upload *u, bool remove_files)
{
    if (u == NULL) {
        return;
    }
    if (u->fd >= 0) {
        close(u->fd);
    }
    for (uint32_t i = 0; remove_files && i < u->n; i++) {
        if (u->parts[i].path.s != NULL) {
            unlink(u->parts[i].path.s);
        }
    }
    multipart_destroy(u->mp);
    free(u->value);
    free(u->parts);
    free(u);
}
