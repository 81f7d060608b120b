/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: bound once, by us, so that they survive every hub. */
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/str.h"
#include "kernel/supervisor/supervisor.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 1024

/* "1.2.3.4:80" -> host, port; the text is cut in place. */
static int split(char *text, char **ret_host, char **ret_port)
{
    char *colon = strrchr(text, ':'), *host = text;
    int64_t port;
    if (!colon) {
        return 0;
    }
    *colon = '\0';
    if (*host == '[' && colon > host + 1 && colon[-1] == ']') {
        host++;
        colon[-1] = '\0';
    } else if (strchr(host, ':')) {
        return 0; /* an IPv6 address needs brackets */
    }
    *ret_host = host;
    *ret_port = colon + 1;
    return str_to_i64(str_of(colon + 1), &port) && port >= 0 && port <= 65535;
}

static tn_rc bind_one(const struct addrinfo *ai, const char *name, int *ret_fd, tn_err *err)
{
    int one = 1;
    int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
    if (fd < 0) {
        return err_sys(err, errno, "listen %s: socket", name);
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* accepted sockets inherit it */
    if (ai->ai_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    }
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, BACKLOG)) {
        int e = errno;
        fd_close(&fd);
        return err_sys(
            err, e, "listen %s%s", name,
            e == EADDRINUSE ? " (another program uses this port; choose one with --listen)" : "");
    }
    *ret_fd = fd;
    return TN_OK;
}

static tn_rc open_one(struct listeners *l, tn_str addr, tn_err *err)
{
    char text[256], name[256], *host, *port;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM},
                    *list;
    snprintf(text, sizeof(text), "%.*s", (int)(addr.n < 255 ? addr.n : 255), addr.s);
    memcpy(name, text, sizeof(name));
    if (!split(text, &host, &port)) {
        return err_set(err, TN_E_CONFIG, "listen: \"%s\" is not ADDRESS:PORT (like 127.0.0.1:8088)",
                       name);
    }
    if (l->n == LISTEN_MAX) {
        return err_set(err, TN_E_LIMIT, "listen: more than %d addresses", LISTEN_MAX);
    }
    if (!*host) {
        hints.ai_family = AF_INET; /* ":80" is every IPv4 address */
    }
    int e = getaddrinfo(*host ? host : NULL, port, &hints, &list);
    if (e) {
        return err_set(err, TN_E_CONFIG, "listen %s: %s", name, gai_strerror(e));
    }
    tn_rc rc = bind_one(list, name, &l->fds[l->n], err);
    l->n += rc == TN_OK;
    freeaddrinfo(list);
    return rc;
}

tn_rc listen_open(struct listeners *l, const char *list, tn_err *err)
{
    tn_str rest = str_of(list ? list : ""), one;
    memset(l, 0, sizeof(*l));
    while (str_split(&rest, ',', &one)) {
        one = str_trim(one);
        tn_rc rc = one.n ? open_one(l, one, err) : TN_OK;
        if (rc) {
            listen_close(l);
            return rc;
        }
    }
    return l->n ? TN_OK : err_set(err, TN_E_CONFIG, "listen: no address is given");
}

void listen_close(struct listeners *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        fd_close(&l->fds[i]);
    }
    l->n = 0;
}
