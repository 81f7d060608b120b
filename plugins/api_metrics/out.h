/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the text exposition format (Prometheus, version 0.0.4): families with help and type, samples
 * with labels. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <tenon/tenon.h>

/* A growing text; a failed allocation sticks. */
struct out {
    char *s;
    size_t n, cap;
    bool failed;
};
struct label {
    const char *name, *value; /* value is escaped when written */
};
void out_family(struct out *o, const char *name, const char *type, const char *help);
/* name{labels} value; suffix may be NULL ("_bucket"). */
void out_sample(struct out *o, const char *name, const char *suffix, const struct label *labels,
                uint32_t n, double value);

/* families.c: everything, from the JSON of host->metrics->read() and host->tasks->status() (may be
 * NULL). */
void families_write(struct out *o, const json_t *all, const json_t *queues);
