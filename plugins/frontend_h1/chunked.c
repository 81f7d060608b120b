/* SPDX-License-Identifier: Apache-2.0 */
/* Chunked bodies: sizes of 1 to 16 hexadecimal digits, CR LF and nothing else, extensions and trailers
 * bounded, checked and ignored. */
#include "plugins/frontend_h1/parse.h"

#define SIZE_DIGITS   16
#define EXTENSION_MAX 4096 /* bytes behind one size */

enum state {
    AT_SIZE,
    AT_EXTENSION,
    AT_SIZE_LF,
    AT_DATA,
    AT_DATA_CR,
    AT_DATA_LF,
    AT_TRAILER, /* begin of a line behind the last chunk */
    AT_NAME,
    AT_VALUE,
    AT_VALUE_LF,
    AT_LAST_LF,
};

static bool size_byte(struct chunked *c, unsigned char b)
{
    int digit = text_hex(b);
    if (digit >= 0) {
        c->left = c->left << 4 | (uint64_t)digit;
        return ++c->digits <= SIZE_DIGITS;
    }
    c->state = b == ';' ? AT_EXTENSION : AT_SIZE_LF;
    return c->digits > 0 && (b == ';' || b == '\r');
}

static bool extension_byte(struct chunked *c, unsigned char b)
{
    if (b == '\r') {
        c->state = AT_SIZE_LF;
        return true;
    }
    return (b >= 0x20 || b == '\t') && b != 0x7F && ++c->extra <= EXTENSION_MAX;
}

static bool trailer_byte(struct chunked *c, const struct http_conf *conf, unsigned char b)
{
    c->extra++;
    switch (c->state) {
    case AT_TRAILER:
        if (b == '\r') {
            c->state = AT_LAST_LF;
            return true;
        }
        c->state = AT_NAME;
        return text_is_tchar(b) && ++c->trailers <= (uint32_t)conf->max_headers;
    case AT_NAME:
        if (b == ':') {
            c->state = AT_VALUE;
            return true;
        }
        return text_is_tchar(b);
    case AT_VALUE:
        if (b == '\r') {
            c->state = AT_VALUE_LF;
            return true;
        }
        return (b >= 0x20 || b == '\t') && b != 0x7F;
    default:
        c->state = AT_TRAILER;
        return b == '\n';
    }
}

enum chunk_result chunked_feed(struct chunked *c, const struct http_conf *conf, const char *p,
                               size_t n, size_t *used, const char **ret, size_t *ret_n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char b = (unsigned char)p[i];
        bool ok = true;
        *used = i + 1;
        switch (c->state) {
        case AT_SIZE:
            ok = size_byte(c, b);
            break;
        case AT_EXTENSION:
            ok = extension_byte(c, b);
            break;
        case AT_SIZE_LF:
            c->digits = c->extra = 0;
            c->state = c->left > 0 ? AT_DATA : AT_TRAILER;
            if (b == '\n' && c->left > 0) {
                return CHUNK_SIZE;
            }
            ok = b == '\n';
            break;
        case AT_DATA:
            *ret = p + i;
            *ret_n = n - i < c->left ? n - i : (size_t)c->left;
            c->left -= *ret_n;
            *used = i + *ret_n;
            if (c->left == 0) {
                c->state = AT_DATA_CR;
            }
            return CHUNK_DATA;
        case AT_DATA_CR:
            c->state = AT_DATA_LF;
            ok = b == '\r';
            break;
        case AT_DATA_LF:
            c->state = AT_SIZE;
            ok = b == '\n';
            break;
        case AT_LAST_LF:
            return b == '\n' ? CHUNK_END : CHUNK_BAD;
        default:
            ok = trailer_byte(c, conf, b) && c->extra <= (uint32_t)conf->max_header_bytes.n;
            break;
        }
        if (!ok) {
            return CHUNK_BAD;
        }
    }
    *used = n;
    return CHUNK_MORE;
}
