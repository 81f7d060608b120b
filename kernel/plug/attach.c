/* SPDX-License-Identifier: Apache-2.0 */
/* Instances: memory for configuration and state, binding, attach and detach. */
#include "kernel/plug/plug.h"

#include "kernel/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* The configuration has pages of its own, so that it can be made read-only: a plugin that writes to
 * it, as the contract forbids, fails in its own tests. */
static tn_rc bind_conf(const tn_plugin *d, const struct conf *c, const char *prefix, void **ret,
                       struct conf_problems *problems, tn_err *err)
{
    static const tn_field no_fields[] = {{0}};
    void *conf = NULL;
    if (d->conf_size != 0) {
        conf = mmap(NULL, d->conf_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (conf == MAP_FAILED) {
            return err_sys(err, errno, "%s: no memory for the configuration", d->name);
        }
    }
    const tn_field *fields = d->config != NULL ? d->config : no_fields;
    struct conf_problems own = {.text = BUF_INIT(0)};
    struct conf_problems *p = problems != NULL ? problems : &own;
    unsigned before = p->errors;
    tn_rc rc = conf_bind(c, prefix, fields, conf, p);
    if (rc != TN_OK) {
        err_set(err, rc, "the configuration of %s has %u error%s%s%s", d->name, p->errors - before,
                p->errors - before == 1 ? "" : "s", own.text.len != 0 ? ": " : "",
                buf_str(&own.text).s);
        conf_free(fields, conf);
        if (conf != NULL) {
            munmap(conf, d->conf_size);
        }
    } else if (conf != NULL) {
        mprotect(conf, d->conf_size, PROT_READ);
    }
    conf_problems_finish(&own);
    if (rc == TN_OK) {
        *ret = conf;
    }
    return rc;
}

static void free_conf(const tn_plugin *d, void *conf)
{
    if (conf != NULL) {
        mprotect(conf, d->conf_size, PROT_READ | PROT_WRITE);
        conf_free(d->config, conf);
        munmap(conf, d->conf_size);
    }
}

tn_rc plug_attach(struct plug *p, const struct conf *c, const char *prefix, struct plug_inst *ret,
                  struct conf_problems *problems, tn_err *err)
{
    const tn_plugin *d = &p->desc;
    void *conf = NULL, *inst = NULL;
    tn_rc rc = bind_conf(d, c, prefix, &conf, problems, err);
    if (rc != TN_OK) {
        return rc;
    }
    if (d->inst_size != 0) {
        inst = calloc(1, d->inst_size);
        if (inst == NULL) {
            rc = err_set(err, TN_E_NOMEM, "%s: no memory for %u bytes of instance", d->name,
                         d->inst_size);
            goto undo_conf;
        }
    }
    tn_err why = TN_ERR_INIT;
    rc = d->attach != NULL ? d->attach(inst, conf, &why) : TN_OK;
    if (rc != TN_OK) {
        why.msg[sizeof why.msg - 1] = '\0';
        err_set(err, rc, "%s %s: %s", plug_kind_name(d->kind), d->name,
                why.msg[0] != '\0' ? why.msg : err_rc_name(rc));
        goto undo_inst;
    }
    *ret = (struct plug_inst){p, inst, conf};
    return TN_OK;

undo_inst:
    free(inst);
undo_conf:
    free_conf(d, conf);
    return rc;
}

void plug_detach(struct plug_inst *pi)
{
    if (pi == NULL || pi->plug == NULL) {
        return;
    }
    const tn_plugin *d = &pi->plug->desc;
    if (d->detach != NULL) {
        d->detach(pi->inst);
    }
    free(pi->inst);
    free_conf(d, pi->conf);
    *pi = (struct plug_inst){NULL, NULL, NULL};
}
