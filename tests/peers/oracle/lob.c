/* SPDX-License-Identifier: Apache-2.0 */
/* Large values: the whole of one is in its locator. Places and lengths of texts are characters of UTF-16, as Oracle's are. */
#include "oci.h"

#include <stdlib.h>
#include <string.h>

static size_t units(const char *p, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char b = (unsigned char)p[i];
        k += (b & 0xc0) != 0x80 ? b >= 0xf0 ? 2 : 1 : 0;
    }
    return k;
}

OCI(int, OCILobGetLength2, (void *svc, void *err, void *locator, uint64_t *ret))
{
    const struct lob *l = locator;
    int rc = begin_call(svc, err);
    *ret = l->binary ? l->n : units(l->data != NULL ? l->data : "", l->n);
    return rc;
}

OCI(int, OCILobRead2,
    (void *svc, void *err, void *locator, uint64_t *bytes, uint64_t *chars, uint64_t offset,
     void *buf, uint64_t cap, uint8_t piece, void *ctx, void *callback, uint16_t charset,
     uint8_t form))
{
    const struct lob *l = locator;
    size_t from = 0, end, want = l->binary ? *bytes : *chars, seen = 0;
    int rc = begin_call(svc, err);
    (void)piece, (void)ctx, (void)callback, (void)charset, (void)form;
    if (rc != OK) {
        return rc;
    }
    if (l->binary) {
        from = offset - 1 < l->n ? offset - 1 : l->n;
        end = want < l->n - from ? from + want : l->n;
    } else {
        while (from < l->n && units(l->data, from) < offset - 1) {
            from++;
        }
        for (end = from; end < l->n; end++) {
            unsigned char b = (unsigned char)l->data[end];
            seen += (b & 0xc0) != 0x80 ? b >= 0xf0 ? 2 : 1 : 0;
            if (seen > want) {
                break;
            }
        }
    }
    if (end - from > cap) {
        return fail(err, 22993, "specified input amount is greater than actual source amount");
    }
    if (end > from) {
        memcpy(buf, l->data + from, end - from);
    }
    *bytes = end - from;
    *chars = l->binary ? 0 : units(l->data + from, end - from);
    return OK;
}

OCI(int, OCILobIsTemporary, (void *env, void *err, void *locator, int *ret))
{
    (void)env, (void)err;
    *ret = ((const struct lob *)locator)->temporary;
    return OK;
}

OCI(int, OCILobFreeTemporary, (void *svc, void *err, void *locator))
{
    struct lob *l = locator;
    (void)svc, (void)err;
    free(l->data);
    *l = (struct lob){.binary = l->binary};
    return OK;
}

OCI(int, OCILobCreateTemporary,
    (void *svc, void *err, void *locator, uint16_t charset, uint8_t form, uint8_t type, int cache,
     uint16_t duration))
{
    struct lob *l = locator;
    (void)svc, (void)err, (void)charset, (void)form, (void)cache, (void)duration;
    free(l->data);
    *l = (struct lob){.temporary = true, .binary = type == 1};
    return OK;
}

OCI(int, OCILobTrim2, (void *svc, void *err, void *locator, uint64_t n))
{
    struct lob *l = locator;
    (void)svc, (void)err;
    l->n = n < l->n ? n : l->n;
    return OK;
}

OCI(int, OCILobWrite2,
    (void *svc, void *err, void *locator, uint64_t *bytes, uint64_t *chars, uint64_t offset,
     void *buf, uint64_t n, uint8_t piece, void *ctx, void *callback, uint16_t charset,
     uint8_t form))
{
    struct lob *l = locator;
    (void)svc, (void)chars, (void)n, (void)piece, (void)ctx, (void)callback, (void)charset,
        (void)form;
    if (offset != 1) {
        return fail(err, 22990, "LOB locators cannot span transactions");
    }
    free(l->data);
    l->n = *bytes;
    l->data = malloc(l->n + 1);
    if (l->data == NULL) {
        return fail(err, 4030, "out of process memory");
    }
    memcpy(l->data, buf, l->n);
    return OK;
}
