/* SPDX-License-Identifier: Apache-2.0 */
/* Published code in the zygote: compiled in idle time, so that workers are forked with it. */
#include "kernel/base/buf.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/worker/zygote_int.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct preload {
    struct list node;
    uint64_t generation;
    int fd; /* memfd of the source */
    char script[ZYG_SCRIPT_MAX + 1];
    uint32_t len;
};

void zygote_preload(struct zygote *z, const struct zyg_msg *m, const char *script, int *fd)
{
    struct preload *p = m->len <= ZYG_SCRIPT_MAX && *fd >= 0 ? calloc(1, sizeof(*p)) : NULL;
    if (!p) {
        return;
    }
    p->generation = m->generation;
    p->fd = *fd;
    *fd = -1;
    p->len = m->len;
    memcpy(p->script, script, m->len);
    list_push_back(&z->preloads, &p->node);
}

void zygote_compile_one(struct zygote *z)
{
    struct preload *p = list_entry(list_pop_front(&z->preloads), struct preload, node);
    struct zyg_msg m = {.type = ZYG_COMPILED, .generation = p->generation, .len = p->len};
    tn_err err = TN_ERR_INIT;
    uint64_t size = 0;
    struct buf marshal = BUF_INIT(ZYG_SOURCE_MAX);
    int fd = -1;
    void *src = NULL;
    m.rc = TN_E_INVAL;
    if (fd_memfd_size(p->fd, &size) == 0 && size && size <= ZYG_SOURCE_MAX) {
        src = mmap(NULL, size, PROT_READ, MAP_PRIVATE, p->fd, 0);
    }
    if (size == 0 || (src && src != MAP_FAILED)) {
        m.rc = z->conf.lang->preload((tn_str){p->script, p->len}, p->generation,
                                     (tn_str){size ? src : "", size}, (tn_str){NULL, 0}, &marshal,
                                     &err);
    }
    if (m.rc) {
        /* Broken drafts are published by nobody: the publish check compiled it before. */
        log_warn("preloading %s: %s", p->script, err.msg);
    } else if (marshal.len) {
        fd = fd_memfd("tenon-marshal", marshal.data, marshal.len);
    }
    zygote_to_hub(z, &m, p->script, fd);
    fd_close(&fd);
    if (src && src != MAP_FAILED) {
        munmap(src, size);
    }
    buf_finish(&marshal);
    fd_close(&p->fd);
    free(p);
}

void zygote_unload(struct zygote *z, tn_str script)
{
    list_for_each_safe(it, &z->preloads) {
        struct preload *p = list_entry(it, struct preload, node);
        if (str_eq((tn_str){p->script, p->len}, script)) {
            list_del(&p->node);
            fd_close(&p->fd);
            free(p);
        }
    }
    z->conf.lang->unload(script);
}

void zygote_forget_preloads(struct zygote *z)
{
    for (struct list *n; (n = list_pop_front(&z->preloads));) {
        struct preload *p = list_entry(n, struct preload, node);
        fd_close(&p->fd);
        free(p);
    }
}
