/* SPDX-License-Identifier: Apache-2.0 */
/* The anchor of every throughput figure: libmicrohttpd alone, in external epoll mode with TURBO, with
 * one static answer. Nothing that Tenon adds is in here.
 *
 *   bare_mhd PORT        serves until SIGTERM */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

static const char body[] = "{\"result\":3}";
static volatile sig_atomic_t stopping;

static void on_term(int sig)
{
    (void)sig;
    stopping = 1;
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *conn, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **con_cls)
{
    (void)cls;
    (void)url;
    (void)method;
    (void)version;
    (void)data;
    if (*con_cls == NULL) {
        *con_cls = conn; /* the answer may only come with the second call, or the connection ends */
        return MHD_YES;
    }
    *size = 0;
    struct MHD_Response *r = MHD_create_response_from_buffer(sizeof body - 1, (void *)body,
                                                             MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(r, "Content-Type", "application/json");
    enum MHD_Result ok = MHD_queue_response(conn, 200, r);
    MHD_destroy_response(r);
    return ok;
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sigaction sa = {.sa_handler = on_term};
    if (argc != 2) {
        fprintf(stderr, "usage: bare_mhd PORT\n");
        return 2;
    }
    addr.sin_port = htons((uint16_t)atoi(argv[1]));
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    struct MHD_Daemon *d = MHD_start_daemon((unsigned)MHD_USE_EPOLL | (unsigned)MHD_USE_TURBO, 0,
                                            NULL, NULL, answer, NULL, MHD_OPTION_SOCK_ADDR, &addr,
                                            MHD_OPTION_CONNECTION_LIMIT, 10000U,
                                            MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024U, MHD_OPTION_END);
    if (d == NULL) {
        perror("MHD_start_daemon");
        return 1;
    }
    int ep = epoll_create1(EPOLL_CLOEXEC);
    int mhd_ep = MHD_get_daemon_info(d, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    struct epoll_event ev = {.events = EPOLLIN};
    epoll_ctl(ep, EPOLL_CTL_ADD, mhd_ep, &ev);
    puts("READY");
    fflush(stdout);
    while (!stopping) {
        MHD_UNSIGNED_LONG_LONG ms = 1000;
        if (MHD_get_timeout(d, &ms) != MHD_YES || ms > 1000) {
            ms = 1000;
        }
        epoll_wait(ep, &ev, 1, (int)ms);
        MHD_run(d);
    }
    MHD_stop_daemon(d);
    return 0;
}
