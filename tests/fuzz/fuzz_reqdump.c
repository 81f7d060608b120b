/* SPDX-License-Identifier: Apache-2.0 */
/* reqDump of error answers: whatever arrives, it is JSON and keeps the secret "CANARY" of a
 * password field. Input: one byte that chooses the Content-Type, the target up to a line feed, the
 * body. */
#include "kernel/value/json.h"
#include "plugins/api_dff/call_out.c"
#include "plugins/api_dff/form.c"
#include "plugins/api_dff/form_tree.c"
#include "plugins/api_dff/mask.c"
#include "plugins/api_dff/util.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const tn_host_json json = {
    .size = sizeof json, .scan = json_scan, .quote = json_quote, .unquote = json_unquote};
static const tn_host host = {.size = sizeof host, .json = &json};
struct api_context api = {.host = &host};

static void dump(const tn_http_req *req)
{
    struct str b = {0};
    api_req_dump(&b, req);
    json_t *v = json_loadb(b.s, b.n, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(v)) {
        abort();
    }
    json_decref(v);
    str_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const types[] = {"application/json", "application/x-www-form-urlencoded",
                                        "text/plain", "", "application/octet-stream"};
    if (n < 1) {
        return 0;
    }
    const char *text = (const char *)data + 1;
    const char *lf = memchr(text, '\n', n - 1);
    size_t target_n = lf != NULL ? (size_t)(lf - text) : n - 1;
    tn_http_pair type = {TN_STR("content-type"), text_of(types[data[0] % 5])};
    tn_http_req req = {.size = sizeof req,
                       .method = TN_STR("POST"),
                       .target = {text, target_n},
                       .headers = &type,
                       .nheaders = 1};
    if (lf != NULL) {
        req.body = (const uint8_t *)lf + 1;
        req.body_len = n - 2 - target_n;
    }
    dump(&req);

    /* A body that holds a password next to what was sent. */
    json_t *sent = json_loadb((const char *)req.body, req.body_len, JSON_DECODE_ANY, NULL);
    json_t *both = json_pack("{s:s, s:o?}", "newPassword", "CANARY", "sent", sent);
    char *body = both != NULL ? json_dumps(both, JSON_COMPACT) : NULL;
    json_decref(both);
    if (body != NULL) {
        struct str b = {0};
        type.value = TN_STR("application/json");
        req.target = TN_STR("/api/v1/x?a=1&authToken=CANARY");
        req.body = (const uint8_t *)body;
        req.body_len = strlen(body);
        api_req_dump(&b, &req);
        if (memmem(data, n, "CANARY", 6) == NULL && memmem(b.s, b.n, "CANARY", 6) != NULL) {
            abort();
        }
        str_free(&b);
    }
    free(body);
    return 0;
}
