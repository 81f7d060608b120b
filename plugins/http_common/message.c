/* SPDX-License-Identifier: Apache-2.0 */
/* A request while it is read: its memory, and why it is refused. */
#include "plugins/http_common/http.h"
#include <stdlib.h>
#include <string.h>

struct message_chunk {
    struct message_chunk *next;
};

void message_init(struct message *m, const struct http_conf *conf, uint64_t id, uint64_t now_ns,
                  int64_t wall_us)
{
    /* the arrays at the end need no zeroes, and zeroing them would cost more than the rest */
    memset(m, 0, offsetof(struct message, headers));
    m->conf = conf;
    m->req.size = sizeof m->req;
    m->req.id = id;
    m->req.start_ns = now_ns;
    m->req.start_us = wall_us;
    m->req.headers = m->headers;
    m->plan = (tn_http_plan){.size = sizeof m->plan, .max_body = 1 << 20, .spool_above = 1 << 20};
}

void message_finish(struct message *m)
{
    while (m->chunks != NULL) {
        struct message_chunk *next = m->chunks->next;
        free(m->chunks);
        m->chunks = next;
    }
}

void *message_alloc(struct message *m, size_t n, size_t align)
{
    size_t at = (m->used + align - 1) & ~(align - 1);
    if (n <= MESSAGE_ROOM && at <= MESSAGE_ROOM - n) {
        m->used = at + n;
        return m->room + at;
    }
    struct message_chunk *c = malloc(sizeof *c + n);
    if (c == NULL) {
        return NULL;
    }
    c->next = m->chunks;
    m->chunks = c;
    return c + 1;
}

char *message_copy(struct message *m, const char *s, size_t n)
{
    char *p = message_alloc(m, n + 1, 1);
    if (p == NULL) {
        message_refuse(m, 503, "no memory for the request");
        return NULL;
    }
    memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

void message_refuse(struct message *m, uint32_t status, const char *text)
{
    if (m->refused == 0) {
        m->refused = status;
        m->refused_text = text;
    }
}

const char *message_spool_dir(const struct message *m)
{
    const char *dir = m->conf->spool_dir;
    if (dir == NULL || dir[0] == '\0') {
        dir = m->plan.upload_dir;
    }
    if (dir == NULL || dir[0] == '\0') {
        dir = getenv("TMPDIR");
    }
    return dir != NULL && dir[0] != '\0' ? dir : "/tmp";
}
