/* SPDX-License-Identifier: Apache-2.0 */
/* Finding, probing and holding plugins. */
#pragma once
#include "kernel/base/buf.h"
#include "kernel/conf/conf.h"
#include <tenon/tenon.h>

/* A plugin whose descriptor was accepted: our own zeroed copies of its tables, min(theirs, ours). */
struct plug {
    tn_plugin desc;
    const void *ops;        /* our copy of the ops table of the kind, padded with zeroes */
    char *path;
    void *handle;           /* dlopen */
    int loaded;             /* load() succeeded in this process image */
};
struct plug_report {        /* one line of discovery */
    char *path, *name, *version, *problem;  /* problem == NULL: usable */
    uint32_t kind;
};
struct plug_registry {
    struct plug **plugs;
    size_t n;
    struct plug_report *reports;
    size_t nreports;
};
/* Lists *.so of the folders (":"-separated), checks every one in a throw-away process (a crash,
 * hang of more than 5 s or refusal is that file's problem only) and fills the reports. */
tn_rc plug_discover(struct plug_registry *r, const char *folders, tn_err *err);
/* dlopens the usable ones of these kinds (bit mask 1u << TN_KIND_*) into this process. */
tn_rc plug_open_all(struct plug_registry *r, uint32_t kinds, tn_err *err);
struct plug *plug_find(const struct plug_registry *r, uint32_t kind, const char *name);
tn_rc plug_load(struct plug *p, const tn_host *host, tn_err *err);   /* load() once */
/* An attached instance; config from items under "<kind>.<name>." of c. */
struct plug_inst {
    struct plug *plug;
    void *inst, *conf;
};
tn_rc plug_attach(struct plug *p, const struct conf *c, const char *prefix, struct plug_inst *ret,
                  struct conf_problems *problems, tn_err *err);
void plug_detach(struct plug_inst *pi);
void plug_registry_finish(struct plug_registry *r);
/* Checks one descriptor against the contract; err names the member and both values. */
tn_rc plug_check_desc(const tn_plugin *theirs, struct plug *ret, tn_err *err);
const char *plug_kind_name(uint32_t kind);
/* "tenon plugins": table, or JSON with schemas. */
void plug_print(const struct plug_registry *r, int schema, struct buf *out);
