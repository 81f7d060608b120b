/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 validation: eight bytes at a time while they are ASCII, then one character after the other. */
#include "common/utf8.h"

#include <stdint.h>
#include <string.h>

static size_t ascii_run(const char *text, size_t n)
{
    size_t i = 0;
    for (uint64_t word; i + 8 <= n; i += 8) {
        memcpy(&word, text + i, 8);
        if (word & 0x8080808080808080u) {
            break;
        }
    }
    return i;
}

int utf8_valid(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = ascii_run(text, n); i < n;) {
        unsigned c = s[i];
        size_t len = c < 0x80                ? 1
                     : c >= 0xc2 && c < 0xe0 ? 2
                     : (c & 0xf0) == 0xe0    ? 3
                     : c >= 0xf0 && c < 0xf5 ? 4
                                             : 0;
        if (len == 0 || len > n - i) {
            return 0;
        }
        if (len > 1) {
            unsigned low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
            unsigned high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
            if (s[i + 1] < low || s[i + 1] > high) {
                return 0;
            }
            for (size_t k = 2; k < len; k++) {
                if ((s[i + k] & 0xc0) != 0x80) {
                    return 0;
                }
            }
        }
        i += len;
    }
    return 1;
}
