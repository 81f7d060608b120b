/* SPDX-License-Identifier: Apache-2.0 */
/* TCPS as the descriptor asks for it, by OpenSSL: a handshake with the listener, whose certificate is judged by the wallet's
 * authorities and, when it has to match, by its name. Failures have the numbers that Oracle gives them. A wallet's file is
 * PEM here: authorities, and maybe certificate and key of the client. */
#include "oci.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_S 5

static int dial(const char *host, const char *port)
{
    const struct addrinfo want = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, port, &want, &found) != 0) {
        return -1;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

/* 0, or the number of what is wrong with the wallet. */
static int open_wallet(SSL_CTX *ctx, const char *folder)
{
    char path[300];
    if (folder[0] == '\0') {
        SSL_CTX_set_default_verify_paths(ctx);
        return 0;
    }
    snprintf(path, sizeof path, "%s/cwallet.sso", folder);
    if (access(path, R_OK) != 0) {
        return 28759;
    }
    if (SSL_CTX_load_verify_locations(ctx, path, NULL) != 1) {
        return 28750;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) == 1) {
        return SSL_CTX_use_certificate_chain_file(ctx, path) == 1 ? 0 : 28750;
    }
    ERR_clear_error(); /* it has no certificate of the client's */
    return 0;
}

static int judge(SSL *ssl)
{
    switch (SSL_get_verify_result(ssl)) {
    case X509_V_OK:
        return 28864;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return 29003;
    default:
        return 29024;
    }
}

/* The listener says a byte when it likes what it has seen: in TLS 1.3 it refuses a client after the handshake. */
static int shake(SSL_CTX *ctx, int fd, const char *host, bool match)
{
    char byte;
    SSL *ssl = SSL_new(ctx);
    if (ssl == NULL) {
        return 28750;
    }
    if (match) {
        X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
        if (X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1) {
            X509_VERIFY_PARAM_set1_host(param, host, 0);
        }
    }
    SSL_set_fd(ssl, fd);
    int code = SSL_connect(ssl) != 1 ? judge(ssl) : SSL_read(ssl, &byte, 1) == 1 ? 0 : 28860;
    SSL_free(ssl);
    ERR_clear_error();
    return code;
}

static const char *text_of(int code)
{
    return code == 28750   ? "unknown error"
           : code == 28759 ? "failure to open file"
           : code == 28860 ? "Fatal SSL error"
           : code == 28864 ? "SSL connection closed gracefully"
           : code == 29003 ? "SSL transport detected mismatched server certificate."
           : code == 29024 ? "Certificate validation failure"
                           : "TNS:no listener";
}

int tls_handshake(struct error *e, const char *descriptor)
{
    char host[256] = "", port[16] = "1521", match[8] = "no", folder[256] = "";
    descriptor_part(descriptor, "HOST", host, sizeof host);
    descriptor_part(descriptor, "PORT", port, sizeof port);
    descriptor_part(descriptor, "SSL_SERVER_DN_MATCH", match, sizeof match);
    descriptor_part(descriptor, "MY_WALLET_DIRECTORY", folder, sizeof folder);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int code = ctx != NULL ? open_wallet(ctx, folder) : 28750;
    int fd = code == 0 ? dial(host, port) : -1;
    if (code == 0) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        code = fd >= 0 ? shake(ctx, fd, host, strcasecmp(match, "yes") == 0) : 12541;
    }
    if (fd >= 0) {
        close(fd);
    }
    SSL_CTX_free(ctx);
    return code == 0 ? OK : fail(e, code, "%s", text_of(code));
}
