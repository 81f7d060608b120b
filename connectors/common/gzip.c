/* SPDX-License-Identifier: Apache-2.0 */
/* Packing bodies. */
#include "common/gzip.h"

#include <string.h>
#include <zlib.h>

tn_rc gzip_put(const tn_host *host, struct grow *to, const void *p, size_t n, tn_err *err)
{
    z_stream z;
    memset(&z, 0, sizeof z);
    if (n > UINT32_MAX ||
        deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return host->fail(err, TN_E_NOMEM, "no memory to pack %zu bytes", n);
    }
    size_t bound = deflateBound(&z, (uLong)n);
    char *room = grow_room(to, bound);
    int code = Z_MEM_ERROR;
    if (room != NULL) {
        z.next_in = (Bytef *)p;
        z.avail_in = (uInt)n;
        z.next_out = (Bytef *)room;
        z.avail_out = (uInt)bound;
        code = deflate(&z, Z_FINISH);
        to->n += code == Z_STREAM_END ? bound - z.avail_out : 0;
    }
    deflateEnd(&z);
    return code == Z_STREAM_END ? TN_OK
                                : host->fail(err, TN_E_NOMEM, "no memory to pack %zu bytes", n);
}
