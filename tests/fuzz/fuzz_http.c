/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for header fields: lists, parameters, qualities, entity tags, what may leave the house. Input:
 * pieces separated by a line feed, used as name, value and candidates. */
#include "plugins/http_common/text.c"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_list(tn_str value)
{
    size_t items = 0, bytes = 0;
    tn_str rest = value;
    for (tn_str item; text_next_item(&rest, &item); items++) {
        if (item.n == 0 || item.s < value.s || item.s + item.n > value.s + value.n) {
            abort();
        }
        bytes += item.n;
        tn_str q = text_param(item, "q");
        if (q.s != NULL && (q.s < item.s || q.s + q.n > item.s + item.n)) {
            abort();
        }
    }
    if (items > value.n + 1 || bytes > value.n) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tn_str piece[3] = {{"", 0}, {"", 0}, {"", 0}};
    char *copy[3] = {NULL, NULL, NULL};
    for (size_t i = 0, at = 0; i < 3 && at <= n; i++) {
        const uint8_t *nl = at < n ? memchr(data + at, '\n', n - at) : NULL;
        size_t k = nl != NULL && i < 2 ? (size_t)(nl - data) - at : n - at;
        copy[i] = malloc(k > 0 ? k : 1);
        if (k > 0) {
            memcpy(copy[i], data + at, k);
        }
        piece[i] = (tn_str){copy[i], k};
        at += k + 1;
    }
    const char *bad = text_header_refused(piece[0], piece[1]);
    for (size_t i = 0; bad == NULL && i < piece[1].n; i++) {
        if (piece[1].s[i] == '\r' || piece[1].s[i] == '\n' || piece[1].s[i] == '\0') {
            abort();
        }
    }
    check_list(piece[1]);
    int q = text_quality(piece[1], "gzip");
    if (q < 0 || q > 1000) {
        abort();
    }
    if (piece[2].n > 0 && memchr(piece[2].s, ',', piece[2].n) == NULL &&
        memchr(piece[2].s, '"', piece[2].n) == NULL && text_trim(piece[2]).n == piece[2].n &&
        !text_etag_match(piece[2], piece[2])) {
        abort(); /* a tag matches itself */
    }
    text_etag_match(piece[1], piece[2]);
    tn_str t = text_trim(piece[1]);
    if (t.n > piece[1].n || text_trim(t).n != t.n) {
        abort();
    }
    for (size_t i = 0; i < 3; i++) {
        free(copy[i]);
    }
    return 0;
}
