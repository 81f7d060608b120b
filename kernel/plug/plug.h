/* SPDX-License-Identifier: Apache-2.0 */
/* Finding, probing and holding plugins. */
#pragma once
#include "kernel/base/buf.h"
#include "kernel/conf/conf.h"
#include <tenon/tenon.h>

/* A plugin whose descriptor was accepted: our own zeroed copies of its tables, min(theirs, ours). */
struct plug {
    tn_plugin desc;
    const void *ops; /* our copy of the ops table of the kind, padded with zeroes */
    char *path;
    void *handle; /* dlopen */
    int loaded;   /* load() succeeded in this process image */
};
struct plug_report {                       /* one line of discovery */
    char *path, *name, *version, *problem; /* problem == NULL: usable */
    uint32_t kind;
    char *summary; /* as told by the probe; NULL unless usable */
    char *about;   /* JSON object: kind, name, version, summary, caps, config schema, methods */
};
struct plug_registry {
    struct plug **plugs;
    size_t n;
    struct plug_report *reports;
    size_t nreports;
};
/* Lists *.so of the folders (":"-separated), checks every one in a throw-away process (a crash,
 * hang of more than 5 s or refusal is that file's problem only) and fills the reports. Forks: call it
 * before the process has threads and while nobody else reaps its children. Two files with the same
 * kind and name: the first in folder and name order counts, the other is reported. r is zeroed by the
 * caller. Fails only for lack of memory or processes. */
tn_rc plug_discover(struct plug_registry *r, const char *folders, tn_err *err);
/* dlopens the usable ones of these kinds (bit mask 1u << TN_KIND_*) into this process; what is refused
 * now gets a problem in its report. */
tn_rc plug_open_all(struct plug_registry *r, uint32_t kinds, tn_err *err);
struct plug *plug_find(const struct plug_registry *r, uint32_t kind, const char *name);
tn_rc plug_load(struct plug *p, const tn_host *host, tn_err *err); /* load() once */
/* An attached instance; config from items under "<kind>.<name>." of c. */
struct plug_inst {
    struct plug *plug;
    void *inst, *conf;
};
/* Allocates and zeroes conf and inst, binds the configuration, makes conf read-only and calls attach().
 * TN_E_CONFIG: the details are in problems. *ret is untouched on failure. */
tn_rc plug_attach(struct plug *p, const struct conf *c, const char *prefix, struct plug_inst *ret,
                  struct conf_problems *problems, tn_err *err);
void plug_detach(struct plug_inst *pi);
void plug_registry_finish(struct plug_registry *r);
/* Checks one descriptor against the contract; err names the member and both values. */
tn_rc plug_check_desc(const tn_plugin *theirs, struct plug *ret, tn_err *err);
const char *plug_kind_name(uint32_t kind);
/* The plugin's self-description as in plug_report.about. */
void plug_about(const struct plug *p, struct buf *out);
/* "tenon plugins": table, or JSON with schemas. Needs plug_discover() only. */
void plug_print(const struct plug_registry *r, int schema, struct buf *out);
