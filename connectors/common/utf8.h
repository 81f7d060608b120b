/* SPDX-License-Identifier: Apache-2.0 */
/* Is it text? Peers whose texts are bytes without an encoding are asked this for each of them. */
#pragma once
#include <stddef.h>

/* 1: valid UTF-8 (RFC 3629: no overlong forms, no surrogates). */
int utf8_valid(const char *text, size_t n);
