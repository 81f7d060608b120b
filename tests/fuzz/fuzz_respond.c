/* SPDX-License-Identifier: Apache-2.0 */
/* What a function may ask of its answer: status, headers, file name, media type. Whatever it asks, what is sent is a status that there
 * is and header fields that stay one line each; what is refused says why. Input: the response control of a worker, JSON. */
#include "plugins/api_dff/respond_head.c"

#include "kernel/base/err.h"
#include "kernel/value/json.h"
#include "plugins/http_common/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int64_t wall_us(void)
{
    return 1700000000000000;
}

/* The rule of the frontends, which is not the kernel's code. */
static tn_rc header_check(tn_str name, tn_str value, tn_err *err)
{
    const char *why = text_header_refused(name, value);
    return why != NULL ? err_set(err, TN_E_INVAL, "%s", why) : TN_OK;
}

static const tn_host_http http = {.size = sizeof http, .header_check = header_check};
static const tn_host host = {.size = sizeof host,
                             .fail = err_set,
                             .wall_us = wall_us,
                             .http = &http,
                             .json = &json_host_ops};
struct api_context api = {.host = &host};

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

bool api_stamp_header(struct api_stamp *s, tn_str name, tn_str value)
{
    if (s->nheaders == API_MAX_HEADERS) {
        return false;
    }
    s->headers[s->nheaders++] = (tn_http_pair){name, value};
    return true;
}

bool api_stamp_clean(struct api_stamp *s, tn_str name, tn_str value)
{
    must(header_check(name, value, NULL) == TN_OK);
    return api_stamp_header(s, name, value);
}

static void judge(const struct answer *a)
{
    must(a->status >= 200 && a->status <= 999);
    for (uint32_t i = 0; i < a->stamp.nheaders; i++) {
        const tn_http_pair *h = &a->stamp.headers[i];
        must(header_check(h->name, h->value, NULL) == TN_OK);
        for (size_t k = 0; k < h->value.n; k++) {
            unsigned char c = (unsigned char)h->value.s[k];
            must((c >= 0x20 || c == '\t') && c != 0x7f);
        }
        must(!is_framing(h->name));
    }
    must(a->text.n <= a->text.cap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct answer a;
    char *copy = malloc(n > 0 ? n : 1); /* exactly as long as it is, and nobody may write into it */
    must(copy != NULL);
    memcpy(copy, data, n);
    const tn_call_result result = {.size = sizeof result, .control = {copy, n}};
    tn_str name = {NULL, 0};
    a = (struct answer){.status = 200};
    bool ok = answer_control(&a, &result) && answer_head(&a);
    if (ok) {
        (void)answer_type(&a);
        ok = !answer_download(&a, &name) || answer_attach(&a, name.s != NULL ? name : TN_STR("x"));
    }
    if (ok) {
        judge(&a);
    } else {
        must(a.why[0] != '\0');
    }
    must(memcmp(copy, data, n) == 0);
    str_free(&a.text);
    free(copy);
    return 0;
}
