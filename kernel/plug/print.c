/* SPDX-License-Identifier: Apache-2.0 */
/* "tenon plugins": what was found, as a table or as JSON with every schema. */
#include "kernel/plug/plug.h"

#include "kernel/base/str.h"

#include <string.h>

static void print_json(const struct plug_registry *r, struct buf *out)
{
    buf_addc(out, '[');
    for (size_t i = 0; i < r->nreports; i++) {
        const struct plug_report *report = &r->reports[i];
        buf_adds(out, i != 0 ? ",\n{\"file\":" : "{\"file\":");
        buf_quote(out, str_of(report->path));
        if (report->problem != NULL) {
            buf_adds(out, ",\"problem\":");
            buf_quote(out, str_of(report->problem));
            buf_addc(out, '}');
        } else if (report->about != NULL && report->about[0] == '{') {
            buf_addc(out, ',');
            buf_adds(out, report->about + 1); /* its members, and the closing brace */
        } else {
            buf_addc(out, '}');
        }
    }
    buf_adds(out, "]\n");
}

void plug_print(const struct plug_registry *r, int schema, struct buf *out)
{
    if (schema) {
        print_json(r, out);
        return;
    }
    size_t good = 0;
    buf_printf(out, "%-10s %-16s %-9s %s\n", "KIND", "NAME", "VERSION", "SUMMARY");
    for (size_t i = 0; i < r->nreports; i++) {
        const struct plug_report *report = &r->reports[i];
        if (report->problem == NULL) {
            buf_printf(out, "%-10s %-16s %-9s %s\n", plug_kind_name(report->kind), report->name,
                       report->version, report->summary != NULL ? report->summary : "");
            good++;
        }
    }
    if (good < r->nreports) {
        buf_adds(out, "\nNot used:\n");
    }
    for (size_t i = 0; i < r->nreports; i++) {
        if (r->reports[i].problem != NULL) {
            buf_printf(out, "  %s: %s\n", r->reports[i].path, r->reports[i].problem);
        }
    }
}
