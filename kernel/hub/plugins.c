/* SPDX-License-Identifier: Apache-2.0 */
/* The hub's plugins: found, loaded and attached; what all apis and the one frontend are told together. */
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/hub/hub.h"
#include "kernel/hub/schedules_host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HUB_KINDS                                                                                  \
    ((1u << TN_KIND_API) | (1u << TN_KIND_FRONTEND) | (1u << TN_KIND_AUTH) |                       \
     (1u << TN_KIND_TRIGGER) | (1u << TN_KIND_CONNECTOR))

tn_rc plugins_find(struct hub *h, tn_err *err)
{
    tn_rc rc = plug_discover(&h->registry, h->settings.plugins, err);
    if (rc == TN_OK) {
        rc = plug_open_all(&h->registry, HUB_KINDS, err);
    }
    for (size_t i = 0; i < h->registry.nreports; i++) {
        if (h->registry.reports[i].problem != NULL) {
            log_error("plugin %s is not used: %s", h->registry.reports[i].path,
                      h->registry.reports[i].problem);
        }
    }
    return rc;
}

static int is_used(const struct hub *h, const struct plug *p)
{
    return p->desc.kind == TN_KIND_API || schedules_wants(p) ||
           (p->desc.kind == TN_KIND_FRONTEND &&
            strcmp(p->desc.name, h->settings.frontend_engine) == 0);
}

tn_rc plugins_start(struct hub *h, const struct conf *c, struct conf_problems *problems,
                    tn_err *err)
{
    h->plugins = calloc(h->registry.n + 1, sizeof *h->plugins);
    if (h->plugins == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for plugins");
    }
    for (size_t i = 0; i < h->registry.n; i++) {
        struct plug *p = h->registry.plugs[i];
        if (!is_used(h, p)) {
            continue;
        }
        struct hub_plugin *hp = &h->plugins[h->nplugins];
        hp->hub = h;
        hp->plug = p;
        host_fill(hp);
        char prefix[80];
        snprintf(prefix, sizeof prefix, "%s.%s.", plug_kind_name(p->desc.kind), p->desc.name);
        tn_rc rc = plug_load(p, &hp->host, err);
        if (rc == TN_OK) {
            rc = plug_attach(p, c, prefix, &hp->pi, problems, err);
        }
        if (rc != TN_OK) {
            return rc;
        }
        h->nplugins++;
        if (p->desc.kind == TN_KIND_API) {
            const tn_api_ops *ops = p->ops;
            rc = router_add(h->router, hp, err);
            if (rc == TN_OK && ops->entities != NULL) {
                rc = store_define(h->store, p->desc.name, ops->entities, ops->migrations, err);
            }
            if (rc == TN_OK && ops->entities != NULL) {
                rc = records_define(h, p->desc.name, ops->entities, err);
            }
            if (rc != TN_OK) {
                return rc;
            }
        }
    }
    return TN_OK;
}

tn_rc plugins_start_apis(struct hub *h, tn_err *err)
{
    for (size_t i = 0; i < h->nplugins; i++) {
        const struct hub_plugin *hp = &h->plugins[i];
        if (hp->plug->desc.kind != TN_KIND_API) {
            continue;
        }
        const tn_api_ops *ops = hp->plug->ops;
        tn_rc rc = ops->start != NULL ? ops->start(hp->pi.inst, err) : TN_OK;
        if (rc != TN_OK) {
            log_alert("api %s does not start: %s", hp->plug->desc.name, err->msg);
            return rc;
        }
    }
    return TN_OK;
}

/* ---- the frontend that listens ---------------------------------------------------------------- */
static const struct hub_plugin *frontend(const struct hub *h)
{
    for (size_t i = 0; i < h->nplugins; i++) {
        if (h->plugins[i].plug->desc.kind == TN_KIND_FRONTEND) {
            return &h->plugins[i];
        }
    }
    return NULL;
}

tn_rc frontend_start(struct hub *h, tn_err *err)
{
    const struct hub_plugin *hp = frontend(h);
    if (hp == NULL) {
        return err_set(err, TN_E_NOTFOUND,
                       "no frontend plugin \"%s\" was found in %s: nothing can listen; "
                       "frontend_engine names another one",
                       h->settings.frontend_engine, h->settings.plugins);
    }
    const tn_frontend_ops *ops = hp->plug->ops;
    tn_rc rc = ops->start(hp->pi.inst, h->listen_fds, h->nlisten, err);
    h->listening = rc == TN_OK;
    return rc;
}

uint32_t frontend_active(const struct hub *h)
{
    const struct hub_plugin *hp = h->listening ? frontend(h) : NULL;
    return hp != NULL ? ((const tn_frontend_ops *)hp->plug->ops)->active(hp->pi.inst) : 0;
}

void frontend_drain(const struct hub *h)
{
    const struct hub_plugin *hp = h->listening ? frontend(h) : NULL;
    if (hp != NULL) {
        ((const tn_frontend_ops *)hp->plug->ops)->drain(hp->pi.inst);
    }
}

void frontend_stop(const struct hub *h)
{
    const struct hub_plugin *hp = h->listening ? frontend(h) : NULL;
    if (hp != NULL) {
        ((const tn_frontend_ops *)hp->plug->ops)->stop(hp->pi.inst);
    }
}
