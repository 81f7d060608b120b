/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as the native protocol writes them, coming in and going out, and memory with a bound. Failures stick: after
 * the first one everything read is zero and everything written is lost, so callers look once. */
#pragma once
#include <tenon/tenon.h>

/* ---- memory ------------------------------------------------------------------------------------------ */

struct ch_piece;
/* Pieces that are given back together. `used` may not outgrow `max`. */
struct ch_mem {
    struct ch_piece *first;
    size_t used, max;
};
/* n items of `size` bytes, zeroed when `zero`; NULL: over the bound, or no memory (`*ret_rc` says which). */
void *ch_alloc(struct ch_mem *m, size_t n, size_t size, tn_rc *ret_rc);
/* p, which ch_alloc() or ch_resize() gave, with n bytes; NULL as above and p stays. */
void *ch_resize(struct ch_mem *m, void *p, size_t n, tn_rc *ret_rc);
void ch_mem_finish(struct ch_mem *m);

/* ---- coming in --------------------------------------------------------------------------------------- */

struct ch_in {
    const tn_host *host;
    uint8_t *buf;
    size_t at, n, cap; /* buf[at .. n) is there and not taken yet */
    /* At least one byte more behind buf[n], which has room for it (all before `at` is gone); or a failure,
     * which it tells err. */
    tn_rc (*more)(struct ch_in *in, tn_err *err);
    void *self;
    tn_rc rc;    /* the first failure */
    tn_err *err; /* where it is told */
};
/* The failure of reading; keeps the first one. */
tn_rc ch_in_fail(struct ch_in *in, tn_rc rc, const char *fmt, ...) TN_PRINTF(3, 4);
void ch_get(struct ch_in *in, void *to, size_t n);
uint8_t ch_get8(struct ch_in *in);
uint32_t ch_get32(struct ch_in *in);
uint64_t ch_get64(struct ch_in *in);
uint64_t ch_getv(struct ch_in *in); /* LEB128, at most ten bytes */
/* A length and that many bytes, NUL-terminated in m; longer than `most` is a failure that names `what`. Never NULL:
 * "" after a failure. */
const char *ch_get_text(struct ch_in *in, struct ch_mem *m, size_t most, const char *what,
                        size_t *ret_n);
/* The same into a buffer that keeps what fits. */
void ch_get_short(struct ch_in *in, char *to, size_t cap, size_t most, const char *what);
/* n values of `width` bytes in memory of m, which grows as they come: a claim alone costs nothing. NULL after a
 * failure. */
#define CH_STEP      (1u << 20)
#define CH_TOO_LARGE "the result is larger than max_result; use LIMIT or stream()"
uint8_t *ch_get_array(struct ch_in *in, struct ch_mem *m, size_t n, size_t width);

/* ---- going out --------------------------------------------------------------------------------------- */

struct ch_out {
    uint8_t *p;
    size_t n, cap;
    bool failed; /* no memory */
};
void ch_put(struct ch_out *out, const void *p, size_t n);
void ch_put8(struct ch_out *out, uint8_t v);
void ch_put32(struct ch_out *out, uint32_t v);
void ch_put64(struct ch_out *out, uint64_t v);
void ch_putv(struct ch_out *out, uint64_t v);
void ch_put_text(struct ch_out *out, const char *s, size_t n);
void ch_putz(struct ch_out *out, const char *z); /* a text that ends in NUL */
void ch_out_finish(struct ch_out *out);
