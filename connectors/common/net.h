/* SPDX-License-Identifier: Apache-2.0 */
/* Names to addresses, sockets and files for client libraries, all within a deadline. Compiled into each
 * plugin that names it. Deadlines are CLOCK_MONOTONIC nanoseconds, 0 = none. */
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>
#include <tenon/tenon.h>

#define NET_ADDRS_MAX 8

struct net_addrs {
    struct sockaddr_storage addr[NET_ADDRS_MAX];
    socklen_t len[NET_ADDRS_MAX];
    uint32_t n;
};
/* Looks a host up; the resolver of the C library knows no time limit, so a thread of its own asks it and
 * is left behind when it is late. TN_E_UNAVAIL or TN_E_TIMEOUT, the text begins with "DNS:". */
tn_rc net_resolve(const tn_host *host, const char *name, uint16_t port, uint64_t deadline_ns,
                  struct net_addrs *ret, tn_err *err);
/* A connected, non-blocking TCP socket (TCP_NODELAY, keep-alive) to the first address that answers. The
 * text of an error begins with "TCP:". */
tn_rc net_connect(const tn_host *host, const char *name, uint16_t port, uint64_t deadline_ns,
                  int *ret_fd, tn_err *err);
/* Waits until fd is ready for `events` (POLLIN …). TN_E_TIMEOUT: the deadline passed, nothing is filled
 * into an error. Signals are waited through. */
tn_rc net_wait(const tn_host *host, int fd, short events, uint64_t deadline_ns);
/* Milliseconds left for poll(2), rounded up; -1 = for ever. */
int net_left_ms(const tn_host *host, uint64_t deadline_ns);

/* A certificate or key given as text or as the path of a file: the path a library can open. Text (it
 * begins with "-----BEGIN") is put into a sealed file in memory; *ret_fd (else -1) is closed after the
 * library has read it. */
tn_rc net_pem(const tn_host *host, const char *what, const char *text, char ret_path[64],
              const char **ret, int *ret_fd, tn_err *err);
