/* SPDX-License-Identifier: Apache-2.0 */
/* What was found about the jail, for the status page, for `tenon doctor` and for the log. */
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/worker/jail.h"

static const char *level_of(const struct jail *j)
{
    static const char *const colours[] = {"red", "yellow", "green"};
    int basic = j->layers[JAIL_LIMITS].state != JAIL_OFF &&
                j->layers[JAIL_PRIVILEGES].state != JAIL_OFF;
    return jail_level(j) == JAIL_ON ? colours[2] : basic ? colours[1] : colours[0];
}

static void member(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, "\"%s\":", name);
    buf_quote(out, str_of(text));
}

void jail_json(const struct jail *j, struct buf *out)
{
    buf_addc(out, '{');
    member(out, "level", level_of(j));
    buf_addc(out, ',');
    member(out, "sandbox", j->required ? "required" : j->enabled ? "on" : "off");
    buf_addc(out, ',');
    member(out, "user", j->user);
    buf_printf(out,
               ",\"uid\":%u,\"landlockAbi\":%d,\"cgroupVersion\":%d,\"limits\":{\"memory\":%lld,"
               "\"fileSize\":%lld,\"processes\":%lld,\"files\":%lld},\"layers\":{",
               j->uid, j->abi, j->cgroup.n ? j->cgroup.version : 0, (long long)j->memory,
               (long long)j->file_size, (long long)j->processes, (long long)j->files);
    for (int i = 0; i < JAIL_LAYERS; i++) {
        const struct jail_finding *f = &j->layers[i];
        buf_printf(out, "%s\"%s\":{", i ? "," : "", jail_layer_name((enum jail_layer)i));
        member(out, "state", jail_state_name(f->state));
        buf_addc(out, ',');
        member(out, "why", f->why);
        buf_addc(out, ',');
        member(out, "advice", f->advice);
        buf_printf(out, ",\"wanted\":%s}", f->wanted ? "true" : "false");
    }
    buf_adds(out, "}}");
}

void jail_log(const struct jail *j)
{
    for (int i = 0; i < JAIL_LAYERS; i++) {
        const struct jail_finding *f = &j->layers[i];
        if (f->wanted && f->state != JAIL_ON) {
            log_warn("ISOLATION: layer %s is %s: %s%s%s", jail_layer_name((enum jail_layer)i),
                     f->state == JAIL_OFF ? "MISSING" : "incomplete", f->why,
                     f->advice[0] ? "; what helps: " : "", f->advice);
        }
    }
}
