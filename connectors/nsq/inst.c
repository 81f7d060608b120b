/* SPDX-License-Identifier: Apache-2.0 */
/* What comes before the first byte: names that nsqd takes, certificates, deadlines, and who can be interrupted;
 * plugins/trigger_nsq uses the same. */
#include "nsq.h"

/* [.a-zA-Z0-9_-]{1,64}, with #ephemeral behind it. */
bool nsq_name_ok(const char *s, size_t n)
{
    static const char tail[] = "#ephemeral";
    if (n > sizeof tail - 1 && memcmp(s + n - (sizeof tail - 1), tail, sizeof tail - 1) == 0) {
        n -= sizeof tail - 1;
    }
    bool ok = n > 0 && n <= 64;
    for (size_t i = 0; ok && i < n; i++) {
        char ch = s[i];
        ok = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
             (ch != '\0' && strchr("._-", ch) != NULL);
    }
    return ok;
}

/* The first connection reads the certificates; the others use what it made. */
tn_rc nsq_prepare_tls(struct nsq *nsq, tn_err *err)
{
    const struct nsq_conf *conf = nsq->conf;
    tn_rc rc = TN_OK;
    const char *mode = conf->tls;
    if (strcmp(conf->protocol, "https") == 0 && strcmp(mode, "off") == 0) {
        mode = "on";
    }
    pthread_mutex_lock(&nsq->lock);
    if (!nsq->tls_made) {
        rc = stream_tls_init(nsq_host, mode, conf->tls_ca, conf->tls_cert, conf->tls_key.s,
                             &nsq->tls, err);
        nsq->tls_made = rc == TN_OK;
    }
    pthread_mutex_unlock(&nsq->lock);
    return rc;
}

uint64_t nsq_sooner(uint64_t deadline_ns, int64_t ms)
{
    uint64_t at = nsq_host->now_ns() + (uint64_t)ms * 1000000u;
    return deadline_ns != 0 && deadline_ns < at ? deadline_ns : at;
}

tn_rc nsq_waiting(struct nsq_conn *c, int fd, tn_err *err)
{
    pthread_mutex_lock(&c->fd_lock);
    c->fd = fd;
    pthread_mutex_unlock(&c->fd_lock);
    return fd >= 0 && atomic_load(&c->canceled)
               ? nsq_host->fail(err, TN_E_CANCELED, "the operation was told to stop")
               : TN_OK;
}
