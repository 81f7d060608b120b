/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of this folder. */
#pragma once
#include "kernel/plug/plug.h"

#define PLUG_PROBE_MS 5000

/* dlopens path into this process and checks it; `stage` (may be NULL) is told what comes next, so that
 * the parent of a probe knows where it died: 'D' dlopen, 'E' entry, 'C' check. */
tn_rc plug_open_file(const char *path, void (*stage)(void *user, char what), void *user,
                     struct plug **ret, tn_err *err);
void plug_close(struct plug *p); /* frees our memory; the code stays mapped */
/* Fills name, version, kind, summary, about or problem of every report, which has only its path. */
tn_rc plug_probe(struct plug_report *reports, size_t n, tn_err *err);

/* Sets what the file's TN_ENVIRONMENT asks for, where the environment has no such name. Before there are threads. */
void plug_environment(const char *path);
