/* SPDX-License-Identifier: Apache-2.0 */
/* Forms: fields lie where they were decoded to, what is made of them is JSON without a name twice, and an API's guard
 * (auth/fixed_field) finds in a form what the function will get. Input: a body as application/x-www-form-urlencoded. */
#include "auth/fixed_field/fixed_field.h"
#include "kernel/value/json.h"
#include "plugins/api_dff/call_out.c"
#include "plugins/api_dff/form.c"
#include "plugins/api_dff/form_tree.c"
#include "plugins/api_dff/util.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const tn_host_json json = {
    .size = sizeof json, .scan = json_scan, .quote = json_quote, .unquote = json_unquote};
static const tn_host host = {.size = sizeof host, .json = &json};
struct api_context api = {.host = &host};
const tn_host *fixed_host = &host;

/* The value of a name that has no brackets, as the guard sees it. */
static void guard(tn_str body, const tn_http_pair *pairs, size_t n, size_t i)
{
    tn_http_pair type = {TN_STR("content-type"), TN_STR("application/x-www-form-urlencoded")};
    tn_http_req req = {.size = sizeof req,
                       .headers = &type,
                       .nheaders = 1,
                       .body = (const uint8_t *)body.s,
                       .body_len = body.n};
    struct field f = {.place = PLACE_BODY, .name = pairs[i].name};
    size_t times = 0;
    for (size_t k = 0; k < n; k++) {
        times += same(pairs[k].name, pairs[i].name);
    }
    tn_str value = {NULL, 0};
    enum found found = field_find(&req, &f, &value);
    if (found != (times == 1 && pairs[i].value.n <= VALUE_MAX ? FOUND_ONE : FOUND_UNCLEAR) ||
        (found == FOUND_ONE && !same(value, pairs[i].value))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static tn_http_pair pairs[FORM_FIELDS_MAX];
    tn_str body = {(const char *)data, n};
    struct str text = {0}, object = {0};
    size_t count = 0;
    if (!form_pairs(body, &text, pairs, FORM_FIELDS_MAX, &count)) {
        str_free(&text);
        return 0;
    }
    bool brackets = false, nul = false;
    for (size_t i = 0; i < count; i++) {
        const tn_str both[] = {pairs[i].name, pairs[i].value};
        for (size_t k = 0; k < 2; k++) {
            if (both[k].n != 0 && (both[k].s < text.s || both[k].s + both[k].n > text.s + text.n)) {
                abort();
            }
        }
        brackets |= memchr(both[0].s, '[', both[0].n) != NULL;
        brackets |= memchr(both[0].s, ']', both[0].n) != NULL;
        nul |= memchr(both[0].s, '\0', both[0].n) != NULL;
    }
    for (size_t i = 0; i < count && i < 8 && !brackets; i++) {
        if (pairs[i].name.n != 0 && pairs[i].name.n <= PATH_BYTES) {
            guard(body, pairs, count, i);
        }
    }
    form_object(&object, pairs, count);
    uint32_t kind, members;
    tn_str out = str_view(&object);
    if (object.failed || json_scan(out, &kind, NULL, 0, &members, NULL) != TN_OK ||
        kind != TN_JSON_OBJECT) {
        abort();
    }
    json_t *tree = json_loadb(out.s, out.n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    if (tree == NULL && !nul) { /* Jansson has no keys with a NUL */
        abort();
    }
    json_decref(tree);
    str_free(&object);
    str_free(&text);
    return 0;
}
