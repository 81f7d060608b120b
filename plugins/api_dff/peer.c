/* SPDX-License-Identifier: Apache-2.0 */
/* What of a client's address stands for one client, where failures are counted. */
#include "peer.h"

#include <arpa/inet.h>
#include <string.h>

tn_str peer_network(tn_str peer, char room[PEER_NETWORK])
{
    static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    unsigned char a[16];
    if (peer.n == 0 || peer.n >= PEER_NETWORK || memchr(peer.s, ':', peer.n) == NULL) {
        return peer;
    }
    memcpy(room, peer.s, peer.n);
    room[peer.n] = '\0';
    room[strcspn(room, "%")] = '\0'; /* fe80::1%eth0 */
    if (inet_pton(AF_INET6, room, a) != 1) {
        return peer;
    }
    if (memcmp(a, mapped, sizeof mapped) == 0) {
        inet_ntop(AF_INET, a + 12, room, PEER_NETWORK);
        return text_of(room);
    }
    memset(a + 8, 0, 8);
    inet_ntop(AF_INET6, a, room, PEER_NETWORK);
    strcat(room, "/64"); /* 46 bytes at most before it */
    return text_of(room);
}
