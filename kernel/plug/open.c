/* SPDX-License-Identifier: Apache-2.0 */
/* Opening one plugin file in this process, and the description of what was found. */
#include "kernel/plug/plug_int.h"

#include "kernel/base/err.h"
#include "kernel/base/str.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The entry symbol; when it is missing, whether the file was built for another major version. */
static tn_rc find_entry(void *handle, tn_entry *ret, tn_err *err)
{
    void *symbol = dlsym(handle, TN_ENTRY);
    if (symbol != NULL) {
        memcpy(ret, &symbol, sizeof *ret); /* ISO C has no cast from void * to a function */
        return TN_OK;
    }
    for (int major = 1; major < 10; major++) {
        char name[32];
        snprintf(name, sizeof name, "tn_plugin_v%d", major);
        if (dlsym(handle, name) != NULL) {
            return err_set(err, TN_E_UNSUPP,
                           "it exports %s, expected %s: built for contract %d, this "
                           "kernel has %d",
                           name, TN_ENTRY, major, TN_ABI_MAJOR);
        }
    }
    return err_set(err, TN_E_UNSUPP, "no symbol %s: not a Tenon plugin", TN_ENTRY);
}

tn_rc plug_open_file(const char *path, void (*stage)(void *user, char what), void *user,
                     struct plug **ret, tn_err *err)
{
    if (stage != NULL) {
        stage(user, 'D');
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *why = dlerror();
        size_t n = strlen(path);
        if (why != NULL && strncmp(why, path, n) == 0 && strncmp(why + n, ": ", 2) == 0) {
            why += n + 2; /* the report names the file anyway */
        }
        return err_set(err, TN_E_UNSUPP, "cannot be opened: %s",
                       why != NULL ? why : "unknown reason");
    }
    tn_entry entry = NULL;
    tn_rc rc = find_entry(handle, &entry, err);
    if (rc != TN_OK) {
        return rc; /* the handle stays: code that has run is never unmapped */
    }
    if (stage != NULL) {
        stage(user, 'E');
    }
    const tn_plugin *theirs = entry();
    if (stage != NULL) {
        stage(user, 'C');
    }
    struct plug *p = calloc(1, sizeof *p);
    char *copy = str_dup(str_of(path));
    if (p == NULL || copy == NULL) {
        rc = err_set(err, TN_E_NOMEM, "out of memory");
        goto undo_plug;
    }
    rc = plug_check_desc(theirs, p, err);
    if (rc != TN_OK) {
        goto undo_plug;
    }
    p->path = copy;
    p->handle = handle;
    *ret = p;
    return TN_OK;

undo_plug:
    free(copy);
    free(p);
    return rc;
}

void plug_close(struct plug *p)
{
    if (p != NULL) {
        free((void *)(uintptr_t)p->ops);
        free(p->path);
        free(p);
    }
}

static void add_caps(struct buf *out, const tn_plugin *d)
{
    static const struct {
        uint64_t bit;
        const char *name;
    } caps[] = {
        {TN_CAP_QUERY, "query"},   {TN_CAP_TXN, "txn"},     {TN_CAP_CANCEL, "cancel"},
        {TN_CAP_STREAM, "stream"}, {TN_CAP_STORE, "store"},
    };
    const char *sep = "";
    buf_adds(out, ",\"caps\":[");
    for (size_t i = 0; d->kind == TN_KIND_CONNECTOR && i < sizeof caps / sizeof caps[0]; i++) {
        if ((d->caps & caps[i].bit) != 0) {
            buf_printf(out, "%s\"%s\"", sep, caps[i].name);
            sep = ",";
        }
    }
    buf_addc(out, ']');
}

static void add_member(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s\"%s\":", out->data != NULL && out->data[out->len - 1] != '{' ? "," : "",
               name);
    buf_quote(out, str_of(value));
}

void plug_about(const struct plug *p, struct buf *out)
{
    const tn_plugin *d = &p->desc;
    buf_addc(out, '{');
    add_member(out, "kind", plug_kind_name(d->kind));
    add_member(out, "name", d->name);
    add_member(out, "version", d->version);
    add_member(out, "summary", d->summary);
    buf_printf(out, ",\"abi\":\"%u.%u\"", d->abi_major, d->abi_minor);
    add_caps(out, d);
    buf_adds(out, ",\"config\":");
    conf_schema(out, d->config);
    if (d->kind == TN_KIND_CONNECTOR) {
        buf_adds(out, ",\"methods\":[");
        for (const tn_method *m = ((const tn_connector_ops *)p->ops)->methods; m->name != NULL;
             m++) {
            buf_adds(out, out->data[out->len - 1] == '[' ? "{" : ",{");
            add_member(out, "name", m->name);
            add_member(out, "args", m->args);
            add_member(out, "doc", m->doc);
            buf_addc(out, '}');
        }
        buf_addc(out, ']');
    }
    buf_addc(out, '}');
}
