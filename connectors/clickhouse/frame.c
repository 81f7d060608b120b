/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: checksum, method, both lengths, data. */
#include "frame.h"

#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define HEAD    9          /* method, bytes with this head, bytes of the data */
#define PART    (1u << 20) /* of what is written goes into one frame */
#define STRANGE "the server does not speak ClickHouse's native protocol: a compressed frame "

/* Room for n bytes behind what is there. */
static uint8_t *room(struct ch_in *to, size_t n)
{
    if (to->at != 0) {
        memmove(to->buf, to->buf + to->at, to->n - to->at);
        to->n -= to->at;
        to->at = 0;
    }
    if (to->cap - to->n < n) {
        uint8_t *more = realloc(to->buf, to->n + n);
        if (more == NULL) {
            return NULL;
        }
        to->buf = more;
        to->cap = to->n + n;
    }
    return to->buf + to->n;
}

static bool unpack(uint8_t method, const uint8_t *p, size_t n, uint8_t *to, size_t size)
{
    switch (method) {
    case CH_LZ4:
        return LZ4_decompress_safe((const char *)p, (char *)to, (int)n, (int)size) == (int)size;
    case CH_ZSTD:
        return ZSTD_decompress(to, size, p, n) == size;
    default:
        if (n == size) {
            memcpy(to, p, n);
        }
        return method == CH_PLAIN && n == size;
    }
}

/* n bytes with this head, in memory that grows as they come. */
static uint8_t *gather(struct ch_in *raw, const uint8_t head[HEAD], size_t n)
{
    uint8_t *whole = NULL;
    for (size_t have = 0; have < n && raw->rc == TN_OK;) {
        size_t cap = n - have <= have + CH_STEP ? n : have * 2 + CH_STEP;
        uint8_t *more = realloc(whole, cap);
        if (more == NULL) {
            ch_in_fail(raw, TN_E_NOMEM, "no memory for a compressed frame of %zu bytes", n);
            break;
        }
        whole = more;
        if (have == 0) {
            memcpy(whole, head, HEAD);
            have = HEAD;
        }
        ch_get(raw, whole + have, cap - have);
        have = cap;
    }
    return whole;
}

tn_rc ch_frame_read(struct ch_in *raw, struct ch_in *to)
{
    uint64_t sum[2], real[2];
    uint8_t head[HEAD];
    uint32_t packed, size;
    ch_get(raw, sum, sizeof sum);
    ch_get(raw, head, sizeof head);
    memcpy(&packed, head + 1, 4);
    memcpy(&size, head + 5, 4);
    if (raw->rc == TN_OK &&
        (packed < HEAD || packed > CH_FRAME_MAX || size > CH_FRAME_MAX || size == 0)) {
        return ch_in_fail(raw, TN_E_UNAVAIL, STRANGE "of %u bytes for %u", packed, size);
    }
    if (raw->rc != TN_OK) {
        return raw->rc;
    }
    uint8_t *whole = gather(raw, head, packed), *dest = NULL;
    if (raw->rc == TN_OK) {
        ch_city128(whole, packed, real);
        if (memcmp(sum, real, sizeof sum) != 0) {
            ch_in_fail(raw, TN_E_UNAVAIL, STRANGE "with a wrong checksum");
        } else if ((dest = room(to, size)) == NULL) {
            ch_in_fail(raw, TN_E_NOMEM, "no memory for a compressed frame of %u bytes", size);
        } else if (!unpack(whole[0], whole + HEAD, packed - HEAD, dest, size)) {
            ch_in_fail(raw, TN_E_UNAVAIL, STRANGE "that cannot be unpacked (method %02x)",
                       whole[0]);
        } else {
            to->n += size;
        }
    }
    free(whole);
    return raw->rc;
}

/* One frame; 0: no memory. */
static int write_part(struct ch_out *out, uint8_t method, const uint8_t *p, size_t n)
{
    size_t most = method == CH_ZSTD ? ZSTD_compressBound(n) : (size_t)LZ4_compressBound((int)n);
    uint8_t *frame = malloc(HEAD + most);
    uint64_t sum[2];
    size_t got = 0;
    if (frame == NULL) {
        return 0;
    }
    if (method == CH_ZSTD) {
        got = ZSTD_compress(frame + HEAD, most, p, n, 1);
        got = ZSTD_isError(got) ? 0 : got;
    } else {
        got = (size_t)LZ4_compress_default((const char *)p, (char *)frame + HEAD, (int)n,
                                           (int)most);
    }
    uint32_t packed = (uint32_t)(got + HEAD), size = (uint32_t)n;
    frame[0] = method;
    memcpy(frame + 1, &packed, 4);
    memcpy(frame + 5, &size, 4);
    ch_city128(frame, packed, sum);
    ch_put(out, sum, sizeof sum);
    ch_put(out, frame, packed);
    free(frame);
    return got != 0 && !out->failed;
}

tn_rc ch_frame_write(struct ch_out *out, uint8_t method, const uint8_t *p, size_t n)
{
    while (n != 0) {
        size_t k = n < PART ? n : PART;
        if (!write_part(out, method, p, k)) {
            return TN_E_NOMEM;
        }
        p += k;
        n -= k;
    }
    return TN_OK;
}
