/* SPDX-License-Identifier: Apache-2.0 */
/* The Authorization header of Basic: any bytes end, and nobody gets in but with exactly the credentials of a user. Input: the value
 * of the header; a byte 0 begins a second header of that name. */
#include "auth/basic/main.c"

#include "kernel/base/err.h"

#include <stdint.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const tn_host double_host = {.size = sizeof double_host, .fail = err_set};

static struct basic *one(void)
{
    static const char list[] = "[{\"username\":\"alice\",\"password\":\"open:sesame\"},"
                               "{\"username\":\"b\",\"password\":\"\"}]";
    static struct basic b;
    if (b.users == NULL) {
        struct basic_conf conf = {.realm = "Tenon"};
        tn_err err = TN_ERR_INIT;
        conf.users = (tn_secret){list};
        if (basic_load(&double_host, &err) != TN_OK || basic_attach(&b, &conf, &err) != TN_OK) {
            abort();
        }
    }
    return &b;
}

/* "Basic", blanks, the one base64 text of "name:password". */
static bool right(tn_str value, const char *base64)
{
    static const char scheme[] = "Basic ";
    size_t at = sizeof scheme - 1;
    if (value.n < at || strncasecmp(value.s, scheme, at) != 0) {
        return false;
    }
    while (at < value.n && value.s[at] == ' ') {
        at++;
    }
    return value.n - at == strlen(base64) && memcmp(value.s + at, base64, value.n - at) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct basic *b = one();
    char *copy = malloc(n + 1); /* exactly as long as it is, so that a byte too far is seen */
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data, n);
    char *text = realloc(copy, n > 0 ? n : 1);
    const char *nul = n > 0 ? memchr(text, '\0', n) : NULL;
    tn_str first = {text, nul != NULL ? (size_t)(nul - text) : n};
    tn_http_pair headers[2] = {{TN_STR("authorization"), first}};
    tn_http_req req = {.size = sizeof req, .headers = headers, .nheaders = 1};
    if (nul != NULL) {
        headers[1] = (tn_http_pair){TN_STR("authorization"), {nul + 1, n - first.n - 1}};
        req.nheaders = 2;
    }
    tn_ident who = {.subject = ""};
    tn_err err = TN_ERR_INIT;
    tn_rc rc = basic_check((void *)(uintptr_t)b, &req, &who, &err);
    bool alice = right(first, "YWxpY2U6b3BlbjpzZXNhbWU="), other = right(first, "Yjo=");
    if ((rc == TN_OK) != (nul == NULL && (alice || other)) ||
        (rc == TN_OK && strcmp(who.subject, alice ? "alice" : "b") != 0) ||
        (rc != TN_OK && (err.msg[0] == '\0' || who.subject[0] != '\0'))) {
        abort();
    }
    free(text);
    return 0;
}
