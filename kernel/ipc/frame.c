/* SPDX-License-Identifier: Apache-2.0 */
/* Checking frames: everything a worker writes is hostile until it passed here. */
#include "kernel/ipc/frame.h"
#include "kernel/base/err.h"
#include "kernel/ipc/ring.h"
#include <string.h>

int ipc_sections(const uint32_t *len, unsigned n, const void *base, uint64_t total, tn_str *ret)
{
    const char *p = base;
    for (unsigned i = 0; i < n; i++) {
        if (len[i] > total) {
            return 0;
        }
        ret[i] = (tn_str){len[i] ? p : "", len[i]};
        p += len[i];
        total -= len[i];
    }
    return total == 0;
}

uint32_t ipc_call_size(const uint32_t len[IPC_S_CALL_N])
{
    uint64_t n = 0;
    for (unsigned i = 0; i < IPC_S_CALL_N; i++) {
        n += len[i];
    }
    return n > IPC_INLINE_MAX ? 0 : (uint32_t)((sizeof(struct ipc_call) + n + 7) & ~7ull);
}

/* Inline sections: what follows the fixed part, less than 8 bytes of padding behind them. */
static int cut_inline(const void *frame, size_t n, size_t fixed, const uint32_t *len, unsigned nlen,
                      tn_str *ret)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < nlen; i++) {
        sum += len[i];
    }
    if (sum > n - fixed || n - fixed - sum >= 8) {
        return 0;
    }
    return ipc_sections(len, nlen, (const char *)frame + fixed, sum, ret);
}

static tn_rc check_header(const void *frame, size_t n, unsigned type, size_t fixed,
                          const char *name, tn_err *err)
{
    struct ipc_frame f;
    if (n < fixed || n > IPC_FRAME_MAX || n % 8) {
        return err_set(err, TN_E_INVAL, "%s frame of %zu bytes (expected %zu..%u, a multiple of 8)",
                       name, n, fixed, IPC_FRAME_MAX);
    }
    memcpy(&f, frame, sizeof(f));
    if (f.type != type) {
        return err_set(err, TN_E_INVAL, "%s frame of type %u (expected %u)", name, f.type, type);
    }
    if (f.size != n) {
        return err_set(err, TN_E_INVAL, "%s frame says %u bytes but has %zu", name, f.size, n);
    }
    if (f.flags & ~IPC_F_FD) {
        return err_set(err, TN_E_INVAL, "%s frame with unknown flags 0x%x", name, f.flags);
    }
    return TN_OK;
}

tn_rc ipc_call_parse(const void *frame, size_t n, tn_str ret[IPC_S_CALL_N], tn_err *err)
{
    struct ipc_call c;
    tn_rc rc = check_header(frame, n, IPC_CALL, sizeof(c), "call", err);
    if (rc) {
        return rc;
    }
    memcpy(&c, frame, sizeof(c));
    if (c.f.flags & IPC_F_FD) {
        if (n != sizeof(c)) {
            return err_set(err, TN_E_INVAL,
                           "call frame with a descriptor has %zu bytes (expected %zu)", n,
                           sizeof(c));
        }
        memset(ret, 0, IPC_S_CALL_N * sizeof(*ret));
        return TN_OK;
    }
    if (!cut_inline(frame, n, sizeof(c), c.len, IPC_S_CALL_N, ret)) {
        return err_set(err, TN_E_INVAL, "sections of the call do not add up to its %zu bytes", n);
    }
    return TN_OK;
}

tn_rc ipc_reply_parse(const void *frame, size_t n, tn_str ret[IPC_REPLY_N], tn_err *err)
{
    struct ipc_reply r;
    tn_rc rc = check_header(frame, n, IPC_REPLY, sizeof(r), "reply", err);
    if (rc) {
        return rc;
    }
    memcpy(&r, frame, sizeof(r));
    if (r.status >= TN_CALL_STATUSES) {
        return err_set(err, TN_E_INVAL, "reply with status %u (expected 0..%d)", r.status,
                       TN_CALL_STATUSES - 1);
    }
    if (r.value_kind > TN_VALUE_JSON) {
        return err_set(err, TN_E_INVAL, "reply with value kind %u (expected 0..%d)", r.value_kind,
                       TN_VALUE_JSON);
    }
    if (r.f.flags & IPC_F_FD) {
        r.len[IPC_R_VALUE] = 0;
    }
    if (!cut_inline(frame, n, sizeof(r), r.len, IPC_REPLY_N, ret)) {
        return err_set(err, TN_E_INVAL, "sections of the reply do not add up to its %zu bytes", n);
    }
    if (r.f.flags & IPC_F_FD) {
        ret[IPC_R_VALUE] = (tn_str){NULL, 0};
    }
    return TN_OK;
}
