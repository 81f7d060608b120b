/* SPDX-License-Identifier: Apache-2.0 */
/* The control channels of the supervisor: one SOCK_SEQPACKET pair to the hub and one to the zygote.
 *
 * Start of the children (siblings of tenond in its own folder; they inherit the named descriptors):
 *   tenon-hub    --ctl FD --listen-fd FD [--listen-fd FD ...] [settings options]   in the order of
 *                the setting `listen`
 *   tenon-worker --zygote --ctl FD [--lang NAME] [settings options]
 *
 * Whenever both children are there, the supervisor makes a fresh pair and gives one end to each:
 * CTL_PEER to the zygote (its new hub) and to the hub (its new zygote). */
#pragma once
#include <stdint.h>

#define CTL_READY  1 /* child -> supervisor: it works; the hub's text is its URL */
#define CTL_PEER   2 /* supervisor -> child: descriptor of the channel to the other child */
#define CTL_DRAIN  3 /* supervisor -> hub: finish what runs, then exit 0 */
#define CTL_SWEEP  4 /* hub -> supervisor: kill everything adopted from an old zygote */
#define CTL_REOPEN 5 /* supervisor -> child: descriptor of the new log file, to be put on stderr */
#define CTL_PING   6 /* supervisor -> hub: does your loop turn? */
#define CTL_PONG   7 /* hub -> supervisor: it does */

#define CTL_TEXT_MAX 1024u
struct ctl_msg {
    uint32_t type;
    uint32_t len; /* bytes of text that follow */
};
