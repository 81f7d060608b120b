/* SPDX-License-Identifier: Apache-2.0 */
/* What a server says of encryption before anybody signs in (MS-TDS 2.2.6.5). FreeTDS says the same of every failure until the
 * sign-in; this tells a server without TLS from a certificate that is not good, and both from a line that breaks. */
#include "prelogin.h"

#include "common/net.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define HEADER   8
#define REPLY    0x04
#define OPTION   5 /* kind, place, length */
#define LAST     0xff
#define ENCRYPT  0x01
#define NONE_HAD 2

/* Version and encryption; what is asked for is that it be on. */
static const unsigned char question[] = {
    0x12,    0x01, 0x00, 0x1a, 0x00, 0x00, 0x01, 0x00, /* a packet of 26 bytes, the last */
    0x00,    0x00, 0x0b, 0x00, 0x06,                   /* version: 6 bytes at 11 */
    ENCRYPT, 0x00, 0x11, 0x00, 0x01, LAST,             /* encryption: one at 17 */
    0x0c,    0x00, 0x00, 0x00, 0x00, 0x00, 0x01 /* … on */};

static uint32_t two(const unsigned char *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

enum ss_prelogin ss_prelogin_read(const unsigned char *p, size_t n)
{
    for (size_t at = 0; at < n && p[at] != LAST; at += OPTION) {
        if (n - at < OPTION) {
            break;
        }
        uint32_t place = two(p + at + 1), len = two(p + at + 3);
        if (p[at] == ENCRYPT && len >= 1 && place < n) {
            return p[place] == NONE_HAD ? SS_NO_TLS : p[place] <= 3 ? SS_HAS_TLS : SS_NO_ANSWER;
        }
    }
    return SS_NO_ANSWER;
}

/* Exactly n bytes; 0: they did not come. */
static int take(const tn_host *host, int fd, unsigned char *to, size_t n, uint64_t deadline_ns)
{
    for (size_t got = 0; got < n;) {
        ssize_t k = recv(fd, to + got, n - got, MSG_DONTWAIT);
        if (k > 0) {
            got += (size_t)k;
        } else if (k == 0 || (errno != EAGAIN && errno != EINTR) ||
                   net_wait(host, fd, POLLIN, deadline_ns) != TN_OK) {
            return 0;
        }
    }
    return 1;
}

enum ss_prelogin ss_prelogin_ask(const tn_host *host, int fd, uint64_t deadline_ns)
{
    unsigned char head[HEADER], body[512];
    if (send(fd, question, sizeof question, MSG_NOSIGNAL | MSG_DONTWAIT) !=
            (ssize_t)sizeof question ||
        !take(host, fd, head, sizeof head, deadline_ns)) {
        return SS_NO_ANSWER;
    }
    uint32_t n = two(head + 2);
    if (head[0] != REPLY || n < HEADER || n - HEADER > sizeof body ||
        !take(host, fd, body, n - HEADER, deadline_ns)) {
        return SS_NO_ANSWER;
    }
    return ss_prelogin_read(body, n - HEADER);
}
