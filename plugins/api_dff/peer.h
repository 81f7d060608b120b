/* SPDX-License-Identifier: Apache-2.0 */
/* What of a client's address stands for one client, where failures are counted. */
#pragma once
#include "api.h"

#define PEER_NETWORK 64 /* bytes of room */

/* An IPv4 address as it is. Of an IPv6 address the network of 64 bits: that is what one customer gets, and has
 * 2^64 addresses in it. Lies in room or in peer. */
tn_str peer_network(tn_str peer, char room[PEER_NETWORK]);
