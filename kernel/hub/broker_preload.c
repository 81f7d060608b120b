/* SPDX-License-Identifier: Apache-2.0 */
/* Published code for the zygote: kept here, sent a few at a time, again to every new zygote. */
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/broker_int.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define IN_FLIGHT 4u /* the zygote compiles one at a time and must stay free to fork */

static void preload_free(void *p)
{
    struct preload *pl = p;
    list_del(&pl->node);
    buf_finish(&pl->source);
    free((char *)(uintptr_t)pl->script.s);
    free(pl);
}

void preload_finish(struct broker *b)
{
    map_finish(&b->preloads, preload_free);
}

static int send_one(struct broker *b, const struct preload *p)
{
    struct zyg_msg m = {
        .type = ZYG_PRELOAD, .generation = p->generation, .len = (uint32_t)p->script.n};
    int fd = fd_memfd("tenon-source", p->source.data ? p->source.data : "", p->source.len);
    if (fd < 0) {
        log_error("preloading %s: %s", p->script.s, strerror(errno));
        return -1;
    }
    int r = ipc_send(b->zygote, &m, sizeof(m), p->script.s, p->script.n, &fd, 1, MSG_DONTWAIT);
    fd_close(&fd);
    return r;
}

void preload_pump(struct broker *b)
{
    while (b->zygote >= 0 && b->compiling < IN_FLIGHT && !list_empty(&b->unsent)) {
        struct preload *p = list_entry(b->unsent.next, struct preload, node);
        list_del(&p->node);
        if (send_one(b, p) == 0) {
            b->compiling++;
        }
    }
}

void preload_all(struct broker *b)
{
    tn_str key;
    void *value;
    for (size_t i = 0; map_next(&b->preloads, &i, &key, &value);) {
        struct preload *p = value;
        list_del(&p->node);
        list_push_back(&b->unsent, &p->node);
    }
}

void preload_compiled(struct broker *b, const struct zyg_msg *m, tn_str script, int fd)
{
    uint64_t size = 0;
    void *map = MAP_FAILED;
    b->compiling -= b->compiling != 0;
    preload_pump(b);
    if (m->rc || fd < 0 || fd_memfd_size(fd, &size) || size == 0 || !b->hooks.compiled) {
        return;
    }
    map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map != MAP_FAILED) {
        b->hooks.compiled(b->hooks.user, script, m->generation, (tn_str){map, size});
        munmap(map, size);
    }
}

void broker_preload(struct broker *b, tn_str script, uint64_t generation, tn_str source)
{
    struct preload *p = map_get(&b->preloads, script);
    if (script.n > ZYG_SCRIPT_MAX || source.n > ZYG_SOURCE_MAX) {
        return; /* workers fetch it on demand */
    }
    if (!p) {
        p = calloc(1, sizeof(*p));
        char *name = str_dup(script);
        if (!p || !name || map_put(&b->preloads, script, p, NULL)) {
            free(name);
            free(p);
            return;
        }
        p->script = (tn_str){name, script.n};
        buf_init(&p->source, ZYG_SOURCE_MAX);
        list_init(&p->node);
    }
    p->generation = generation;
    buf_clear(&p->source);
    buf_addstr(&p->source, source);
    list_del(&p->node);
    if (!p->source.failed) {
        list_push_back(&b->unsent, &p->node);
    }
    preload_pump(b);
}

void broker_unload(struct broker *b, tn_str script)
{
    struct zyg_msg m = {.type = ZYG_UNLOAD, .len = (uint32_t)script.n};
    void *p = map_del(&b->preloads, script);
    if (p) {
        preload_free(p);
    }
    if (b->zygote >= 0 && script.n <= ZYG_SCRIPT_MAX) {
        /* When it gets lost the zygote keeps dead code until its end; nothing calls it. */
        ipc_send(b->zygote, &m, sizeof(m), script.s, script.n, NULL, 0, MSG_DONTWAIT);
    }
}
