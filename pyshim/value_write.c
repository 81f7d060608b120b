/* SPDX-License-Identifier: Apache-2.0 */
/* Text as JSON strings: runs that need no escape are found eight bytes at a time. */
#include "pyshim/value_write.h"

#include <stdio.h>

int write_no_memory(const struct buf *out)
{
    if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_MemoryError,
                     "the value is larger than %zu bytes of JSON or memory ran out",
                     out->max ? out->max : (size_t)1 << 30);
    }
    return -1;
}

/* End of the run that needs no escape: quotes, backslashes and controls do; with stop_high (all ones)
 * everything above ASCII too. */
static const char *raw_end(const char *p, const char *end, uint64_t stop_high)
{
    const uint64_t ones = 0x0101010101010101ull, high = 0x8080808080808080ull;
    while (end - p >= 8) {
        uint64_t v, q, s;
        memcpy(&v, p, 8);
        q = v ^ (ones * '"');
        s = v ^ (ones * '\\');
        if ((((q - ones) & ~q) | ((s - ones) & ~s) | ((v - ones * 0x20) & ~v) | (v & stop_high)) &
            high) {
            break;
        }
        p += 8;
    }
    while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\' &&
           !(stop_high && (unsigned char)*p >= 0x80)) {
        p++;
    }
    return p;
}

/* One character above ASCII as \uXXXX, a pair beyond the BMP; p is valid UTF-8. */
static int put_escaped(struct writer *w, const char **p)
{
    const unsigned char *s = (const unsigned char *)*p;
    int more = s[0] >= 0xF0 ? 3 : s[0] >= 0xE0 ? 2 : 1;
    unsigned c = s[0] & (0x3Fu >> more);
    char text[16];
    for (int i = 1; i <= more; i++) {
        c = c << 6 | (s[i] & 0x3F);
    }
    *p += more + 1;
    if (c < 0x10000) {
        snprintf(text, sizeof(text), "\\u%04x", c);
    } else {
        c -= 0x10000;
        snprintf(text, sizeof(text), "\\u%04x\\u%04x", 0xD800 + (c >> 10), 0xDC00 + (c & 0x3FF));
    }
    return write_add(w, text, strlen(text));
}

int write_utf8(struct writer *w, const char *p, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    const char *end = p + n;
    if (write_char(w, '"') < 0) {
        return -1;
    }
    for (;;) {
        const char *stop = raw_end(p, end, w->plain ? ~0ull : 0);
        if (stop != p && write_add(w, p, (size_t)(stop - p)) < 0) {
            return -1;
        }
        if (stop == end) {
            return write_char(w, '"');
        }
        unsigned char c = (unsigned char)*stop;
        if (c >= 0x80) {
            p = stop;
            if (put_escaped(w, &p) < 0) {
                return -1;
            }
            continue;
        }
        char esc[6] = {'\\', (char)c, '0', '0', 0, 0};
        size_t m = 2;
        switch (c) {
        case '\n':
            esc[1] = 'n';
            break;
        case '\t':
            esc[1] = 't';
            break;
        case '\r':
            esc[1] = 'r';
            break;
        case '\b':
            esc[1] = 'b';
            break;
        case '\f':
            esc[1] = 'f';
            break;
        case '"':
        case '\\':
            break;
        default:
            esc[1] = 'u';
            esc[4] = hex[c >> 4];
            esc[5] = hex[c & 15];
            m = 6;
        }
        if (write_add(w, esc, m) < 0) {
            return -1;
        }
        p = stop + 1;
    }
}
