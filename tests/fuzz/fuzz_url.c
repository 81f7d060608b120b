/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets and queries: whatever comes out must be clean, and cleaning it again changes
 * nothing. Input: method byte, then the target. */
#include "plugins/http_common/target.c"
#include "plugins/http_common/text.c"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_path(tn_str path, const char *room, size_t cap)
{
    if (path.s != room || path.n > cap || path.n == 0 || !text_utf8_ok(path.s, path.n)) {
        abort();
    }
    if (path.n == 1 && path.s[0] == '*') {
        return;
    }
    if (path.s[0] != '/' || memchr(path.s, '\0', path.n) != NULL) {
        abort();
    }
    for (size_t i = 0; i < path.n; i++) {
        size_t end = i + 1;
        while (end < path.n && path.s[end] != '/') {
            end++;
        }
        tn_str segment = {path.s + i + 1, end - i - 1};
        if (path.s[i] == '/' && ((segment.n == 1 && segment.s[0] == '.') ||
                                 (segment.n == 2 && memcmp(segment.s, "..", 2) == 0))) {
            abort(); /* a dot segment got through */
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct text_target t;
    struct text_refusal why = {0, NULL};
    if (n == 0) {
        return 0;
    }
    tn_str method = data[0] & 1 ? TN_STR("OPTIONS") : TN_STR("GET");
    /* an exact copy, so that the sanitizer sees a read beyond the end */
    size_t size = n - 1;
    char *target = malloc(size + 1), *room = malloc(size + 1);
    memcpy(target, data + 1, size);
    if (target == NULL || room == NULL) {
        abort();
    }
    char *exact = malloc(size > 0 ? size : 1);
    memcpy(exact, target, size);
    if (text_target(method, (tn_str){exact, size}, room, &t, &why)) {
        check_path(t.path, room, size > 0 ? size : 1);
        char *out = malloc(t.query.n + 1);
        size_t used = 0;
        for (tn_str q = t.query, name, value; text_next_field(&q, &name, &value);) {
            used += text_query_decode(name, out + used);
            used += text_query_decode(value, out + used);
            if (used > t.query.n) {
                abort();
            }
        }
        free(out);
    } else if (why.status < 400 || why.text == NULL) {
        abort();
    }
    free(exact);
    free(room);
    free(target);
    return 0;
}
