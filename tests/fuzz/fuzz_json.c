/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what the scanner accepts, Jansson accepts; unquoting and quoting agree; nothing reads past
 * the end; the bridge gives back what it took. */
#include "kernel/base/arena.h"
#include "kernel/base/str.h"
#include "kernel/value/bridge.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fuzz_json: %s\n", what);
        abort();
    }
}

static void check_string(tn_str raw)
{
    size_t n = json_unquote(raw, NULL, 0);
    must(n + 2 <= raw.n, "unquoting made a text longer");
    char *text = malloc(n + 1), *again = malloc(6 * n + 2), *back = malloc(n + 1);
    must(text && again && back, "no memory");
    must(json_unquote(raw, text, n) == n, "unquote changed its mind");
    must(str_utf8_valid((tn_str){text, n}), "unquoted text is not UTF-8");
    size_t q = json_quote((tn_str){text, n}, again, 6 * n + 2);
    must(q <= 6 * n + 2, "quoting needs more than six bytes for one");
    must(json_scan((tn_str){again, q}, NULL, NULL, 0, NULL, NULL) == TN_OK,
         "quoted text is no JSON");
    must(json_unquote((tn_str){again, q}, back, n) == n && memcmp(back, text, n) == 0,
         "quoting and unquoting disagree");
    free(text);
    free(again);
    free(back);
}

static void check_members(tn_str text)
{
    tn_json_member few[2], m[64];
    uint32_t kind, n = 0, k = 0;
    must(json_scan(text, &kind, m, 64, &n, NULL) == TN_OK, "refused with members");
    must(json_scan(text, &kind, few, 2, &k, NULL) == TN_OK && k == (n < 2 ? n : 2),
         "few members differ");
    must(kind == TN_JSON_OBJECT || n == 0, "members of what is no object");
    for (uint32_t i = 0; i < n; i++) {
        uint32_t inner;
        must(m[i].value.s >= text.s && m[i].value.s + m[i].value.n <= text.s + text.n,
             "value outside");
        must(json_scan(m[i].value, &inner, NULL, 0, NULL, NULL) == TN_OK && inner == m[i].kind,
             "a member's value is no JSON of its kind");
        if (m[i].flags & TN_JSON_KEY_ESCAPED) {
            check_string(m[i].key);
        }
        if (m[i].kind == TN_JSON_STRING) {
            check_string(m[i].value);
        }
    }
}

static void check_bridge(tn_str text)
{
    json_t *tree = NULL, *back = NULL;
    struct arena a;
    struct buf out = BUF_INIT(64 << 20);
    tn_val v;
    if (bridge_parse(text, &tree, NULL) != TN_OK) {
        return; /* integers beyond 64 bits, NUL in a key */
    }
    arena_init(&a, 0);
    must(bridge_from_json(tree, &a, &v, NULL) == TN_OK, "tree to value");
    must(bridge_to_json(&v, &back, NULL) == TN_OK, "value to tree");
    must(json_equal(tree, back), "the bridge changed a value");
    must(json_write(&out, &v, NULL) == TN_OK, "value to text");
    must(json_scan(buf_str(&out), NULL, NULL, 0, NULL, NULL) == TN_OK,
         "the written text is no JSON");
    buf_finish(&out);
    arena_finish(&a);
    json_decref(tree);
    json_decref(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A block of exactly its size, so that a read past the end is seen. */
    char *copy = malloc(size ? size : 1);
    if (!copy) {
        return 0;
    }
    if (size) {
        memcpy(copy, data, size);
    }
    tn_str text = {copy, size};
    uint32_t kind = 99;
    char small[16];
    tn_err err = TN_ERR_INIT;
    tn_rc rc = json_scan(text, &kind, NULL, 0, NULL, &err);
    json_unquote(text, small, sizeof small);
    json_quote(text, small, sizeof small);
    if (rc == TN_OK) {
        must(kind <= TN_JSON_OBJECT, "a kind that is none");
        check_members(text);
        check_bridge(text);
        if (kind == TN_JSON_STRING && size && copy[0] == '"' && copy[size - 1] == '"') {
            check_string(text);
        }
    } else {
        must((rc == TN_E_INVAL || rc == TN_E_LIMIT) && err.msg[0], "an error without a text");
        /* The other way round: what Jansson accepts is ours, too, within our bounds. (It takes a
         * NUL byte for the end of the text, which RFC 8259 does not.) */
        json_t *tree = size && memchr(copy, '\0', size)
                           ? NULL
                           : json_loadb(copy, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        must(!tree || rc == TN_E_LIMIT, "Jansson accepts what we refuse");
        json_decref(tree);
    }
    free(copy);
    return 0;
}
