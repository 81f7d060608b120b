/* SPDX-License-Identifier: Apache-2.0 */
/* libmicrohttpd's header parser is lax: it accepts a bare LF, folds lines, cuts a line at a NUL, and
 * tells nobody. But it works in place, so the pointers that it hands out show what it skipped: in a
 * strict head every piece begins right after the CRLF of the one before. That is not in its
 * documentation, so it is tried out once at start with a request whose layout is known; where it does
 * not hold, head.c relies on libmicrohttpd alone and the log says so. */
#include "fe.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct probe {
    const char *uri;
    size_t uri_n;
    const char *expected;
    bool seen, ok;
};

static void *probe_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct probe *p = cls;
    (void)mhd;
    p->uri = uri;
    p->uri_n = strlen(uri);
    return NULL;
}

static enum MHD_Result probe_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                   size_t name_n, const char *value, size_t value_n)
{
    struct probe *p = cls;
    (void)kind;
    (void)name_n;
    p->ok = p->ok && name == p->expected;
    p->expected = value + value_n + 2;
    return MHD_YES;
}

static enum MHD_Result probe_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                    const char *method, const char *version, const char *data,
                                    size_t *size, void **con_cls)
{
    struct probe *p = cls;
    (void)url;
    (void)data;
    (void)size;
    (void)con_cls;
    p->seen = true;
    p->ok = p->uri == method + strlen(method) + 1 && version == p->uri + p->uri_n + 1;
    p->expected = version + strlen(version) + 2;
    int n = MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, probe_field, p);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    p->ok = p->ok && n == 3 && info != NULL && method + info->header_size == p->expected + 2;
    return MHD_NO;
}

bool layout_probe(size_t memory)
{
    static const char request[] =
        "GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-Tail: \t t \r\n\r\n";
    const size_t half = 30; /* inside a header: the second piece must land right behind the first */
    struct probe p = {0};
    int sv[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) != 0) {
        return false;
    }
    struct MHD_Daemon *d = MHD_start_daemon(
        (unsigned)MHD_USE_EPOLL | (unsigned)MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, probe_access,
        &p, MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory, MHD_OPTION_URI_LOG_CALLBACK, probe_uri, &p,
        MHD_OPTION_END);
    if (d != NULL) {
        struct sockaddr addr = {.sa_family = AF_UNIX};
        if (MHD_add_connection(d, sv[0], &addr, sizeof addr) == MHD_YES) {
            sv[0] = -1; /* libmicrohttpd closes it */
            bool sent = write(sv[1], request, half) == (ssize_t)half;
            MHD_run(d);
            MHD_run(d);
            sent = sent && write(sv[1], request + half, sizeof request - 1 - half) > 0;
            for (int i = 0; i < 10 && sent && !p.seen; i++) {
                MHD_run(d);
            }
        }
        MHD_stop_daemon(d);
    }
    if (sv[0] >= 0) {
        close(sv[0]);
    }
    close(sv[1]);
    return p.seen && p.ok;
}
