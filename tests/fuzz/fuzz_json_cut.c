/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of servers cut into pieces: what is valid can be walked to its last value within its bytes, and every piece is valid again. */
#include "connectors/common/json_cut.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void walk(tn_str text, int depth)
{
    struct json_iter it;
    tn_str key, value;
    char room[16];
    tn_val v = json_value(text);
    json_plain(text, room, sizeof room);
    json_int(text, 0);
    json_member(text, "a");
    struct grow plain = {.n = 0};
    json_text(&plain, text);
    if (plain.n > text.n) {
        abort(); /* what is escaped is never shorter */
    }
    grow_free(&plain);
    if (v.type == TN_T_STR && (v.u.s < text.s || v.u.s + v.n > text.s + text.n)) {
        abort();
    }
    for (int more = json_iter(&it, text); more && json_next(&it, &key, &value);) {
        if (value.s < text.s || value.s + value.n > text.s + text.n || !json_valid(value) ||
            (key.s != NULL && !json_valid(key))) {
            abort();
        }
        if (depth < 8) {
            walk(value, depth + 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n > 4096) {
        return 0;
    }
    char *text = malloc(
        n != 0 ? n : 1); /* an exact copy, so that the sanitizer sees a read beyond the end */
    memcpy(text, data, n);
    if (json_valid((tn_str){text, n})) {
        walk((tn_str){text, n}, 0);
    }
    free(text);
    return 0;
}
