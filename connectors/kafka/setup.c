/* SPDX-License-Identifier: Apache-2.0 */
/* What a handle of librdkafka is told about brokers and security, and what its errors mean; plugins/trigger_kafka uses the same. */
#include "kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- errors ------------------------------------------------------------------------------------------ */

static const struct {
    rd_kafka_resp_err_t code;
    tn_rc rc;
    const char *hint;
} classes[] = {
    {RD_KAFKA_RESP_ERR__TRANSPORT, TN_E_UNAVAIL, ""},
    {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, TN_E_UNAVAIL, "; check port and securityProtocol"},
    {RD_KAFKA_RESP_ERR__BAD_MSG, TN_E_UNAVAIL,
     "; what answers does not speak Kafka: check port and securityProtocol"},
    {RD_KAFKA_RESP_ERR__RESOLVE, TN_E_UNAVAIL, ""},
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, TN_E_UNAVAIL, ""},
    {RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, TN_E_UNAVAIL, ""},
    {RD_KAFKA_RESP_ERR__TIMED_OUT, TN_E_TIMEOUT, ""},
    {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, TN_E_TIMEOUT, ""},
    {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, TN_E_TIMEOUT, ""},
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, TN_E_DENIED,
     "; check user, password, saslMechanisms and securityProtocol"},
    {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, TN_E_DENIED, "; check user and password"},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, TN_E_DENIED, ""},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, TN_E_DENIED, ""},
    {RD_KAFKA_RESP_ERR__SSL, TN_E_DENIED,
     "; check tls_ca, the names in servers, and whether this port speaks TLS"},
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, TN_E_LIMIT,
     "; see max_message here and message.max.bytes of the broker"},
    {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, TN_E_LIMIT, ""},
    {RD_KAFKA_RESP_ERR__QUEUE_FULL, TN_E_LIMIT, ""},
    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, TN_E_INVAL, ""},
    {RD_KAFKA_RESP_ERR__INVALID_ARG, TN_E_INVAL, ""},
};

static tn_rc class_of(rd_kafka_resp_err_t code, const char **ret_hint)
{
    *ret_hint = "";
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (classes[i].code == code) {
            *ret_hint = classes[i].hint;
            return classes[i].rc;
        }
    }
    return TN_E_REMOTE;
}

/* Has the library told what keeps it from working? Signing in and TLS; anything else may still go away. */
bool kafka_hopeless(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL ||
           code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
}

tn_rc kafka_failed(const struct kafka_trouble *t, rd_kafka_resp_err_t code, const char *what,
                   tn_err *err)
{
    const char *hint;
    bool late = code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT ||
                code == RD_KAFKA_RESP_ERR__PURGE_QUEUE || code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
    if (late && t->code != RD_KAFKA_RESP_ERR_NO_ERROR) { /* the reason, not the symptom */
        tn_rc rc = class_of(t->code, &hint);
        rc = rc == TN_E_REMOTE ? TN_E_UNAVAIL : rc; /* it does not speak Kafka, or nothing at all */
        bool tls = t->code == RD_KAFKA_RESP_ERR__SSL || strstr(t->why, "SSL handshake") != NULL;
        const char *step = tls ? "TLS: " : kafka_hopeless(t->code) ? "sign-in: " : "";
        kafka_host->fail(err, rc, "%s%s: %.240s%s", step, what, t->why, hint);
    } else if (late) {
        kafka_host->fail(err, TN_E_TIMEOUT, "%s: no broker answered in time", what);
    } else {
        tn_rc rc = class_of(code, &hint);
        kafka_host->fail(err, rc, "%s: %s%s", what, rd_kafka_err2str(code), hint);
    }
    if (err != NULL) {
        err->native = code;
        return err->rc;
    }
    return late ? TN_E_TIMEOUT : class_of(code, &hint);
}

void kafka_note(struct kafka_trouble *t, int code, const char *reason)
{
    /* "all brokers are down" comes after the reason, and a reason that is known for good stays */
    bool keep = kafka_hopeless(t->code) ||
                (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && t->why[0] != '\0');
    bool verified = reason == NULL || strstr(reason, "certificate verify failed") == NULL;
    if (!keep) {
        t->code = verified ? (rd_kafka_resp_err_t)code
                           : RD_KAFKA_RESP_ERR__SSL; /* it may say that the line broke */
        snprintf(t->why, sizeof t->why, "%.250s", reason != NULL ? reason : "");
    }
}

static void on_log(const rd_kafka_t *rk, int level, const char *what, const char *text)
{
    (void)rk, (void)level, (void)what, (void)text; /* what matters comes as an error */
}

/* ---- configuration ----------------------------------------------------------------------------------- */

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

void kafka_set(struct kafka_setup *s, const char *name, const char *value)
{
    char why[200];
    if (s->rc == TN_OK &&
        rd_kafka_conf_set(s->conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) {
        /* a value may be a secret: only the library's own words about the name are told */
        s->rc = kafka_host->fail(s->err, TN_E_CONFIG, "librdkafka refuses %s", name);
    }
}

void kafka_set_int(struct kafka_setup *s, const char *name, long long value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", value);
    kafka_set(s, name, text);
}

/* A certificate as text or the path of a file. */
static void set_pem(struct kafka_setup *s, const char *text_name, const char *path_name,
                    const char *value)
{
    if (given(value)) {
        kafka_set(s, strncmp(value, "-----BEGIN", 10) == 0 ? text_name : path_name, value);
    }
}

void kafka_set_common(struct kafka_setup *s, const struct kafka_conf *conf)
{
    bool tls = strstr(conf->security_protocol, "SSL") != NULL;
    kafka_set(s, "bootstrap.servers", conf->servers);
    kafka_set(s, "client.id", conf->application);
    kafka_set(s, "reconnect.backoff.max.ms", "1000");
    kafka_set(s, "log.connection.close", "false");
    kafka_set(s, "allow.auto.create.topics", "true");
    kafka_set_int(s, "socket.timeout.ms", (long long)conf->timeout * 1000);
    rd_kafka_conf_set_log_cb(s->conf, on_log);
    kafka_set(s, "security.protocol", conf->security_protocol);
    if (strncmp(conf->security_protocol, "SASL", 4) == 0) {
        kafka_set(s, "sasl.mechanisms", conf->sasl_mechanisms);
        kafka_set(s, "sasl.username", given(conf->user) ? conf->user : "");
        kafka_set(s, "sasl.password", given(conf->password.s) ? conf->password.s : "");
    }
    if (tls) {
        bool any = strcmp(conf->tls, "unverified") == 0;
        kafka_set(s, "enable.ssl.certificate.verification", any ? "false" : "true");
        kafka_set(s, "ssl.endpoint.identification.algorithm", any ? "none" : "https");
        set_pem(s, "ssl.ca.pem", "ssl.ca.location", conf->tls_ca);
        set_pem(s, "ssl.certificate.pem", "ssl.certificate.location", conf->tls_cert);
        set_pem(s, "ssl.key.pem", "ssl.key.location", conf->tls_key.s);
    }
}

tn_rc kafka_new(struct kafka_setup *s, rd_kafka_type_t type, rd_kafka_t **ret)
{
    char why[256] = "";
    if (s->rc == TN_OK) {
        *ret = rd_kafka_new(type, s->conf, why, sizeof why);
        if (*ret != NULL) {
            return TN_OK;
        }
        bool tls = strstr(why, "ssl") != NULL || strstr(why, "SSL") != NULL;
        s->rc = kafka_host->fail(s->err, TN_E_CONFIG, "%s%.240s", tls ? "TLS: " : "", why);
    }
    rd_kafka_conf_destroy(s->conf);
    return s->rc;
}

/* ---- reaching a broker ------------------------------------------------------------------------------- */

/* "host:port" number i of servers; false: there are fewer. */
static bool server_at(const char *servers, uint32_t i, char host[256], uint16_t *port)
{
    const char *p = servers;
    for (;; i--) {
        p += strspn(p, ", \t\r\n");
        size_t n = strcspn(p, ", \t\r\n");
        if (n == 0) {
            return false;
        }
        if (i == 0) {
            const char *start = strstr(p, "://") != NULL && strstr(p, "://") < p + n
                                    ? strstr(p, "://") + 3
                                    : p;
            size_t left = n - (size_t)(start - p), nhost = left;
            *port = 9092;
            for (size_t k = left; k > 0;
                 k--) { /* the last colon, unless it is inside of brackets */
                if (start[k - 1] == ']') {
                    break;
                }
                if (start[k - 1] == ':') {
                    unsigned long number = strtoul(start + k, NULL, 10);
                    *port = number <= UINT16_MAX ? (uint16_t)number : 0;
                    nhost = k - 1;
                    break;
                }
            }
            if (nhost > 1 && start[0] == '[' && start[nhost - 1] == ']') {
                start++;
                nhost -= 2;
            }
            nhost = nhost < 255 ? nhost : 255;
            memcpy(host, start, nhost);
            host[nhost] = '\0';
            return true;
        }
        p += n;
    }
}

/* The library tries for ever and tells little; so a name that is unknown or a port that is closed is told by ourselves. */
tn_rc kafka_reach(const struct kafka_conf *conf, uint64_t deadline_ns, tn_err *err)
{
    char host[256];
    uint16_t port;
    tn_rc rc = kafka_host->fail(err, TN_E_CONFIG, "servers: there is none");
    for (uint32_t i = 0; server_at(conf->servers, i, host, &port); i++) {
        if (port == 0) {
            return kafka_host->fail(err, TN_E_CONFIG,
                                    "servers: `%.200s` has no port from 1 to 65535", host);
        }
        int fd = -1;
        uint64_t now = kafka_host->now_ns();
        uint64_t share = deadline_ns == 0    ? now + 3000000000u
                         : deadline_ns > now ? now + (deadline_ns - now) / 2
                                             : now;
        rc = net_connect(kafka_host, host, port, share, &fd, err);
        if (rc == TN_OK) {
            close(fd);
            return TN_OK;
        }
    }
    return rc;
}
