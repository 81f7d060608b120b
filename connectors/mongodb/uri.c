/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration as a URI of libmongoc: every part is checked and set by its own function, nothing is pasted. */
#include "mongodb.h"

#include <ctype.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOSTS_MAX 1024

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* "a,b:27018" or one address of IPv6 as mongodb://…/; a name consists of few characters only. */
static tn_rc from_hosts(const struct mg_conf *conf, mongoc_uri_t **ret, tn_err *err)
{
    char text[HOSTS_MAX + 32], why[256] = "";
    bson_error_t error;
    for (const char *p = conf->host; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr("-._:,[]", *p) == NULL) {
            return mg_host->fail(err, TN_E_CONFIG,
                                 "host `%.200s` has a character that is in no name: `%c`",
                                 conf->host, isprint((unsigned char)*p) ? *p : '?');
        }
    }
    bool plain_v6 = strchr(conf->host, ':') != strrchr(conf->host, ':') &&
                    strpbrk(conf->host, ",[") == NULL;
    bool has_port = !plain_v6 && strpbrk(conf->host, ":,[") != NULL;
    int n = has_port
                ? snprintf(text, sizeof text, "mongodb://%s/", conf->host)
                : snprintf(text, sizeof text, plain_v6 ? "mongodb://[%s]:%u/" : "mongodb://%s:%u/",
                           conf->host, (unsigned)conf->port);
    *ret = n > 0 && (size_t)n < sizeof text ? mongoc_uri_new_with_error(text, &error) : NULL;
    if (*ret == NULL) {
        snprintf(why, sizeof why, "%.200s",
                 (size_t)n < sizeof text ? error.message : "the list is too long");
        return mg_host->fail(err, TN_E_CONFIG, "host `%.160s` cannot be used: %s", conf->host, why);
    }
    return TN_OK;
}

/* mongodb:// or mongodb+srv:// with options; what has a field of its own is not taken from there. */
static tn_rc from_text(const struct mg_conf *conf, mongoc_uri_t **ret, tn_err *err)
{
    static const char *const files[] = {
        MONGOC_URI_TLSCERTIFICATEKEYFILE,
        MONGOC_URI_TLSCERTIFICATEKEYFILEPASSWORD,
        MONGOC_URI_TLSCAFILE,
        MONGOC_URI_TLSALLOWINVALIDCERTIFICATES,
        MONGOC_URI_TLSALLOWINVALIDHOSTNAMES,
        MONGOC_URI_TLSINSECURE,
        MONGOC_URI_SSLCLIENTCERTIFICATEKEYFILE,
        MONGOC_URI_SSLCERTIFICATEAUTHORITYFILE,
    };
    /* Others ask services and files of the machine, without our limits of time; their properties are secrets. */
    static const char *const signing[] = {
        MONGOC_URI_AUTHMECHANISM, MONGOC_URI_AUTHMECHANISMPROPERTIES, MONGOC_URI_GSSAPISERVICENAME};
    bson_error_t error;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(conf->uri, &error);
    if (uri == NULL) {
        return mg_host->fail(err, TN_E_CONFIG, "uri cannot be used: %.300s", error.message);
    }
    const char *what = NULL, *how = NULL;
    for (const mongoc_host_list_t *h = mongoc_uri_get_hosts(uri); h != NULL; h = h->next) {
        if (strchr(h->host, '/') != NULL) {
            mongoc_uri_destroy(uri);
            return mg_host->fail(
                err, TN_E_CONFIG,
                "uri cannot be used: sockets of the file system are not supported");
        }
    }
    for (size_t i = 0; i < sizeof signing / sizeof *signing; i++) {
        const bson_t *given_ones = mongoc_uri_get_credentials(uri);
        bson_iter_t it;
        how = bson_iter_init_find_case(&it, given_ones, signing[i]) ? signing[i] : how;
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        what = mongoc_uri_has_option(uri, files[i]) ? files[i] : what;
    }
    if (mongoc_uri_get_password(uri) != NULL || mongoc_uri_get_username(uri) != NULL) {
        mongoc_uri_destroy(uri);
        return mg_host->fail(err, TN_E_CONFIG,
                             "uri has a user or password in it, which would not be kept secret; "
                             "write them into the settings user and password");
    }
    if (what != NULL) {
        mongoc_uri_destroy(uri);
        return mg_host->fail(
            err, TN_E_CONFIG,
            "uri has the option %s; use the settings tls, tls_ca, tls_cert, tls_key", what);
    }
    if (how != NULL) {
        mongoc_uri_destroy(uri);
        return mg_host->fail(err, TN_E_CONFIG,
                             "uri has the option %s; use the setting auth_mechanism", how);
    }
    *ret = uri;
    return TN_OK;
}

/* The subject of the client's certificate is the user's name (RFC 2253). */
static tn_rc subject(const struct mg_conf *conf, mongoc_uri_t *uri, tn_err *err)
{
    char path[64], *name = NULL;
    const char *file = NULL;
    int fd = -1;
    if (!given(conf->tls_cert)) {
        return mg_host->fail(err, TN_E_CONFIG,
                             "auth_mechanism MONGODB-X509 needs tls_cert and tls_key");
    }
    tn_rc rc = net_pem(mg_host, "tls_cert", conf->tls_cert, path, &file, &fd, err);
    if (rc != TN_OK) {
        return rc;
    }
    BIO *in = BIO_new_file(file, "r"), *out = BIO_new(BIO_s_mem());
    X509 *cert = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    long n = cert != NULL && out != NULL &&
                     X509_NAME_print_ex(out, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0
                 ? BIO_get_mem_data(out, &name)
                 : 0;
    char *text = n > 0 ? bson_strndup(name, (size_t)n) : NULL;
    if (text == NULL || !mongoc_uri_set_username(uri, text)) {
        rc = mg_host->fail(err, TN_E_CONFIG, "TLS: tls_cert cannot be used: it has no subject");
    }
    bson_free(text);
    X509_free(cert);
    BIO_free(in);
    BIO_free(out);
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

static tn_rc refused(const char *what, const char *value, tn_err *err)
{
    return mg_host->fail(err, TN_E_CONFIG, "%s `%.200s` cannot be used", what, value);
}

static tn_rc set_user(const struct mg_conf *conf, mongoc_uri_t *uri, tn_err *err)
{
    const char *source = given(conf->auth_source) ? conf->auth_source : NULL;
    bool x509 = strcmp(conf->auth_mechanism, "MONGODB-X509") == 0;
    bool outside = x509 || strcmp(conf->auth_mechanism, "PLAIN") == 0;
    if (!given(conf->user) && !x509) {
        return TN_OK;
    }
    if (given(conf->user) && !mongoc_uri_set_username(uri, conf->user)) {
        return refused("user", conf->user, err);
    }
    if (conf->password.s != NULL && conf->password.s[0] != '\0' && !x509 &&
        !mongoc_uri_set_password(uri, conf->password.s)) {
        return mg_host->fail(err, TN_E_CONFIG, "password is no UTF-8 text");
    }
    if (strcmp(conf->auth_mechanism, "default") != 0 &&
        !mongoc_uri_set_auth_mechanism(uri, conf->auth_mechanism)) {
        return refused("auth_mechanism", conf->auth_mechanism, err);
    }
    if ((source != NULL || outside) &&
        !mongoc_uri_set_auth_source(uri, source != NULL && !outside ? source : "$external")) {
        return refused("auth_source", source, err);
    }
    return x509 && !given(conf->user) ? subject(conf, uri, err) : TN_OK;
}

static tn_rc set_rest(const struct mg_conf *conf, uint64_t deadline_ns, mongoc_uri_t *uri,
                      tn_err *err)
{
    static const struct {
        const char *name;
        mongoc_read_mode_t mode;
    } modes[] = {{"primary", MONGOC_READ_PRIMARY},
                 {"primaryPreferred", MONGOC_READ_PRIMARY_PREFERRED},
                 {"secondary", MONGOC_READ_SECONDARY},
                 {"secondaryPreferred", MONGOC_READ_SECONDARY_PREFERRED},
                 {"nearest", MONGOC_READ_NEAREST}};
    int left = net_left_ms(mg_host, deadline_ns);
    left = left < 0 ? 30000 : left < 1 ? 1 : left;
    if (given(conf->database) && !mongoc_uri_set_database(uri, conf->database)) {
        return refused("database", conf->database, err);
    }
    if (given(conf->replica_set) &&
        !mongoc_uri_set_option_as_utf8(uri, MONGOC_URI_REPLICASET, conf->replica_set)) {
        return refused("replica_set", conf->replica_set, err);
    }
    if (given(conf->compressors) && !mongoc_uri_set_compressors(uri, conf->compressors)) {
        return refused("compressors", conf->compressors, err);
    }
    const bson_t *compressors = mongoc_uri_get_compressors(uri);
    if (compressors != NULL && bson_has_field(compressors, "snappy")) { /* see message.c */
        return mg_host->fail(err, TN_E_CONFIG,
                             "compressors: snappy is not supported; use zstd or zlib");
    }
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(conf->read_preference, modes[i].name) == 0 && i != 0) {
            mongoc_read_prefs_t *prefs = mongoc_read_prefs_new(modes[i].mode);
            mongoc_uri_set_read_prefs_t(uri, prefs);
            mongoc_read_prefs_destroy(prefs);
        }
    }
    if (!mongoc_uri_set_appname(uri, conf->application) ||
        (conf->direct && !mongoc_uri_set_option_as_bool(uri, MONGOC_URI_DIRECTCONNECTION, true)) ||
        (!conf->retry_writes &&
         !mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, false)) ||
        !mongoc_uri_set_option_as_int32(uri, MONGOC_URI_CONNECTTIMEOUTMS, left) ||
        !mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, left)) {
        return mg_host->fail(err, TN_E_CONFIG,
                             "application or direct cannot be used with this host");
    }
    return TN_OK;
}

tn_rc mg_uri(const struct mg_conf *conf, uint64_t deadline_ns, mongoc_uri_t **ret, tn_err *err)
{
    mongoc_uri_t *uri = NULL;
    tn_rc rc = given(conf->uri) ? from_text(conf, &uri, err) : from_hosts(conf, &uri, err);
    rc = rc == TN_OK ? set_user(conf, uri, err) : rc;
    rc = rc == TN_OK ? set_rest(conf, deadline_ns, uri, err) : rc;
    if (rc != TN_OK) {
        mongoc_uri_destroy(uri);
        return rc;
    }
    *ret = uri;
    return TN_OK;
}

const char *mg_tls_mode(const struct mg_conf *conf, const mongoc_uri_t *uri)
{
    return strcmp(conf->tls, "off") == 0 && mongoc_uri_get_tls(uri) ? "on" : conf->tls;
}
