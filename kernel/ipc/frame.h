/* SPDX-License-Identifier: Apache-2.0 */
/* What hub and worker say to each other. Little-endian, natural alignment, one machine only.
 *
 * Per worker there is one SOCK_SEQPACKET pair and one memfd page. Calls and replies travel through two
 * byte rings in the page (kernel/ipc/ring.h); the socket carries doorbells, descriptors, questions of
 * the running script and their answers, and its end tells that the other side has gone. Everything a
 * worker writes is hostile input to the hub: copied first, then checked. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <tenon/calls.h>

#define IPC_INLINE_MAX (64u * 1024u)  /* larger payloads travel as sealed memfd over the socket */
#define IPC_RING_SIZE  (256u * 1024u) /* bytes of each ring, power of two */
#define IPC_LOG_MAX    (1u << 20)     /* bytes of logs kept per call */

/* ---- ring frames (8-byte aligned; size includes the header) --------------------------------------- */
#define IPC_CALL  1 /* hub -> worker: struct ipc_call + sections */
#define IPC_REPLY 2 /* worker -> hub: struct ipc_reply + sections */
#define IPC_LOG   3 /* worker -> hub: struct ipc_frame + text of the running call; flags = padding */

struct ipc_frame {
    uint32_t size; /* bytes with header and padding */
    uint16_t type;
    uint16_t flags; /* IPC_F_* */
    uint64_t seq;   /* of the call, 1, 2, 3 ... per worker */
};
/* The sections are in a memfd that comes over the socket with the same seq, before the frame. */
#define IPC_F_FD 1u

/* Sections follow the fixed part back to back in this order; lengths in bytes. */
enum {
    IPC_S_TASK,
    IPC_S_SCRIPT,
    IPC_S_FUNC,
    IPC_S_ORIGIN,
    IPC_S_ORIGIN_ID,
    IPC_S_ARGS,
    IPC_S_HTTP,
    IPC_S_VARS,
    IPC_S_CODE,
    IPC_S_CALL_N
};
struct ipc_call {
    struct ipc_frame f;
    uint64_t generation; /* code generation the call must at least see */
    uint64_t data_gen;   /* generation of cached data (env variables ...) */
    uint64_t
        deadline_ns; /* CLOCK_MONOTONIC of the soft deadline, counted from start: see timeout */
    int64_t trigger_us;
    uint32_t timeout_ms;
    uint32_t flags; /* TN_CALL_* of calls.h */
    uint32_t queue;
    uint32_t result_ttl;
    uint32_t len[IPC_S_CALL_N];
    uint32_t expires_ms; /* limit of the wait in the queue, 0 = none: told to the script */
};
/* In ipc_call.flags, beside TN_CALL_*: the section IPC_S_HTTP is held back. Whoever looks at the request
 * asks the service for it, with the call's task id. */
#define IPC_CALL_HTTP    (1u << 31)
#define IPC_SERVICE_HTTP "call.http"

enum { IPC_R_VALUE, IPC_R_CONTROL, IPC_R_ERROR, IPC_REPLY_N };
struct ipc_reply {
    struct ipc_frame f;
    uint32_t status;     /* TN_CALL_* */
    uint32_t value_kind; /* TN_VALUE_* */
    int64_t start_us;
    uint64_t peak_bytes;
    uint32_t cost_us;
    uint32_t len[IPC_REPLY_N];
};

/* ---- socket messages ------------------------------------------------------------------------------- */
#define IPC_M_BELL   1 /* either way: look into the ring */
#define IPC_M_FD     2 /* either way: descriptor with the sections of frame `seq` */
#define IPC_M_ASK    3 /* worker -> hub: id, name '\0' payload */
#define IPC_M_ANSWER 4 /* hub -> worker: id, rc, payload (inline or memfd) */
#define IPC_M_READY  5 /* worker -> hub: first message, pid */
#define IPC_M_EXIT   6 /* hub -> worker: finish what is claimed and leave */
#define IPC_M_STACK  7 /* worker -> hub: text of all Python stacks before a hard kill */
struct ipc_msg {
    uint32_t type;
    int32_t rc;
    uint64_t id;  /* seq or question id */
    uint32_t len; /* bytes that follow */
    uint32_t rsvd;
};

#define IPC_MSG_MAX                                                                                \
    (IPC_INLINE_MAX + 1024u)   /* largest socket message; larger payloads of ASK and
                                                  ANSWER travel in a sealed memfd sent with it */
#define IPC_NAME_MAX 64u       /* bytes of a service name in ASK */
#define IPC_ASKS_MAX 4u        /* unanswered questions of one worker */
#define IPC_SOCK_BUF (1 << 20) /* send buffer of both ends */

/* Signals from the hub to a worker (offsets to SIGRTMIN): the soft deadline has passed; write the
 * stacks of all threads into a memfd and send it with IPC_M_STACK. */
#define IPC_SIG_SOFT  5
#define IPC_SIG_STACK 6

/* Checks a received frame of `n` bytes (already copied): sizes add up, sections lie inside.
 * ret[] gets the sections. TN_E_INVAL names what is wrong.
 * IPC_F_FD: a call has all of its sections in the memfd (ret[] stays absent, see ipc_sections); a
 * reply has exactly its value there (ret[IPC_R_VALUE] stays absent) and the rest in the frame. */
tn_rc ipc_call_parse(const void *frame, size_t n, tn_str ret[IPC_S_CALL_N], tn_err *err);
tn_rc ipc_reply_parse(const void *frame, size_t n, tn_str ret[IPC_REPLY_N], tn_err *err);
/* Cuts the `total` bytes at base into n sections of len[]; false when they do not add up. */
int ipc_sections(const uint32_t *len, unsigned n, const void *base, uint64_t total, tn_str *ret);
/* Bytes of a frame with these sections inline, header and padding included; 0 = does not fit. */
uint32_t ipc_call_size(const uint32_t len[IPC_S_CALL_N]);
