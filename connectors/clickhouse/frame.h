/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed frames: what blocks travel in when compression was asked for. */
#pragma once
#include "bytes.h"

#define CH_FRAME_MAX (64u << 20) /* bytes of a frame, before and after */

enum { CH_PLAIN = 0x02, CH_LZ4 = 0x82, CH_ZSTD = 0x90 };

/* CityHash 1.0.2, 128 bits: the checksum of frames. Later versions of CityHash give other values. */
void ch_city128(const uint8_t *p, size_t n, uint64_t ret[2]);

/* The next frame of `raw`, unpacked behind what `to` (an input whose buffer is its own) has. */
tn_rc ch_frame_read(struct ch_in *raw, struct ch_in *to);
/* Appends p as frames. TN_E_NOMEM. */
tn_rc ch_frame_write(struct ch_out *out, uint8_t method, const uint8_t *p, size_t n);
