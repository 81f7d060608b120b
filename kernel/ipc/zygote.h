/* SPDX-License-Identifier: Apache-2.0 */
/* What hub and zygote say to each other over their SOCK_SEQPACKET pair. */
#pragma once
#include <stdint.h>

#define ZYG_FORK    1 /* hub -> zygote: id, descriptors: worker's socket end, page memfd */
#define ZYG_FORKED  2 /* zygote -> hub: id, pid, descriptor: pidfd; rc = errno when it failed */
#define ZYG_EXITED  3 /* zygote -> hub: id, pid, rc = wait status; sent when no descendant is left */
#define ZYG_PRELOAD 4 /* hub -> zygote: generation, script id; descriptor: memfd of the source */
#define ZYG_COMPILED                                                                               \
    5 /* zygote -> hub: generation, rc, script id; descriptor: memfd of the marshal */
#define ZYG_UNLOAD 6 /* hub -> zygote: script id */
#define ZYG_JAIL                                                                                   \
    7 /* zygote -> hub, first message: descriptor: memfd of the isolation's state as JSON */

#define ZYG_SCRIPT_MAX 512u        /* bytes of a script id */
#define ZYG_SOURCE_MAX (16u << 20) /* bytes of a preloaded source or its compiled form */
struct zyg_msg {
    uint32_t type;
    int32_t rc;
    uint64_t id;
    uint64_t generation;
    int32_t pid;
    uint32_t len;        /* bytes of script id that follow */
    uint32_t memory_hit; /* ZYG_EXITED: killed by its control group; limit and peak are set */
    uint32_t rsvd;
    uint64_t limit, peak; /* bytes */
};
