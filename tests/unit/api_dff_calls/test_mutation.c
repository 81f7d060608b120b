/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged requests of every form: each is answered exactly once or reaches the broker with valid JSON
 * objects; results with damaged control keys are answered exactly once. The same seed gives the same
 * run; MUTATION_ROUNDS makes it longer. */
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>

static const struct seed {
    const char *method, *target, *headers, *body;
} seeds[] = {
    {"GET", "/api/v1/sync/fixed/s?x=1&a[b][c]=2&a[]=3&a[1]=4&x=5", NULL, NULL},
    {"GET", "/api/v1/sync/kept?kwargs={\"x\":[1,{\"y\":\"z\"}]}&options={\"unbox\":false}", NULL,
     NULL},
    {"POST", "/api/v1/sync/fixed", "content-type: application/json",
     "{\"kwargs\":{\"x\":{\"a\":[1,\"]\\\"\",{}]}},\"options\":{\"timeout\":5,\"queue\":1}}"},
    {"POST", "/api/v1/sync/kept/s", "content-type: application/json",
     "[1,\"a,]\",[2,[3]],{\"k\":[]},null ]"},
    {"POST", "/api/v1/sync/kept/s", "content-type: application/json",
     "{\"kwargs\":\"{\\\"a\\\":1}\",\"options\":\"{}\",\"\\u006b\":1}"},
    {"POST", "/api/v1/sync/kept/s", "content-type: application/x-www-form-urlencoded",
     "a[b]=1&a[b][c]=%41%4&&=&b[=1&c]=2&[d]=3&a[b][c][d][e][f][g]=x&kwargs=1"},
    {"POST", "/api/v1/sync/kept/s", "content-type: text/plain; charset=utf-16", "a\xff\x00b"},
};

static const char *const controls[] = {
    "{\"statusCode\":200,\"headers\":{\"X-A\":\"b\",\"X-B\":[\"c\"]},\"contentType\":\"csv\"}",
    "{\"download\":\"a\\\"b.txt\",\"allow304\":true,\"contentType\":\"text/plain\"}",
    "{\"filePath\":\"a/../b.txt\",\"download\":false,\"autoDelete\":true}",
};

static uint64_t state_ = 88172645463325252u;

static unsigned pick(unsigned n)
{
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return (unsigned)(state_ >> 33) % n;
}

/* Replaces, drops, doubles or swaps a few bytes; NUL only where `binary`. */
static size_t mutate(char *text, size_t n, size_t cap, bool binary)
{
    static const char liked[] = "{}[]\",:\\=&%0123456789eE+-.tfnu /\x01\x7f\x80\xc3\xff";
    for (unsigned k = 1 + pick(4); k > 0 && n > 1; k--) {
        size_t at = pick((unsigned)n);
        char c = binary && pick(20) == 0 ? (char)pick(256) : liked[pick(sizeof liked - 1)];
        switch (pick(4)) {
        case 0:
            text[at] = c;
            break;
        case 1:
            memmove(text + at, text + at + 1, --n - at);
            break;
        case 2:
            if (n + 1 < cap) {
                memmove(text + at + 1, text + at, n++ - at);
                text[at] = c;
            }
            break;
        default: {
            size_t len = pick((unsigned)(n - at)) + 1;
            if (n + len < cap) {
                memmove(text + at + len, text + at, n - at);
                n += len;
            }
        }
        }
    }
    text[n] = '\0';
    return n;
}

static void assert_object(const char *text)
{
    uint32_t kind = 0;
    tn_err err = TN_ERR_INIT;
    tn_str t = text_of(text);
    if (api.host->json->scan(t, &kind, NULL, 0, NULL, &err) != TN_OK || kind != TN_JSON_OBJECT) {
        fail_msg("not an object: %s (%s)", text, err.msg);
    }
}

static void one_round(const struct seed *s)
{
    char target[1024], body[1024];
    size_t n = s->body != NULL ? strlen(s->body) : 0;
    unsigned calls_before = seen_call.count, replies_before = seen_reply.count;
    strcpy(target, s->target);
    if (n > 0) {
        memcpy(body, s->body, n + 1);
        n = mutate(body, n, sizeof body, true);
    } else {
        char *query = strchr(target, '?') + 1;
        size_t q = mutate(query, strlen(query), sizeof target - 64, false);
        for (size_t i = 0; i < q; i++) { /* '#' and blanks never reach a handler like this */
            query[i] = query[i] == '\0' ? 'x' : query[i];
        }
    }
    harness_request_n(s->method, target, s->headers, n > 0 ? body : NULL, n);
    if (seen_call.count == calls_before) {
        if (seen_reply.count == replies_before) {
            harness_abort(); /* delayed: the client goes */
            return;
        }
        assert_int_equal(seen_reply.count, replies_before + 1);
        return;
    }
    assert_int_equal(seen_reply.count, replies_before);
    assert_object(seen_call.args);
    assert_object(seen_call.http);
    char control[512];
    strcpy(control, controls[pick(3)]);
    mutate(control, strlen(control), sizeof control, false);
    harness_value(pick(2) ? TN_VALUE_TEXT : TN_VALUE_NONE, "1", control);
    assert_int_equal(seen_reply.count, replies_before + 1);
    assert_true(seen_reply.status >= 200);
}

static void test_mutation(void **state)
{
    const char *given = getenv("MUTATION_ROUNDS");
    long rounds = given != NULL ? atol(given) : 20000;
    (void)state;
    harness_open();
    harness_load(
        "[{\"id\":\"t__s.f\",\"scriptId\":\"t__s\",\"name\":\"f\"},"
        "{\"id\":\"t__s.k\",\"scriptId\":\"t__s\",\"name\":\"k\",\"extraConfigJSON\":\"{\\\"cacheResult\\\":9}\"}]",
        "[{\"id\":\"t__s\",\"codeMD5\":\"abc\",\"publishVersion\":3}]",
        "[{\"id\":\"fixed\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{\\\"x\\\":\\\"INPUT_BY_CALLER\\\","
        "\\\"n\\\":1,\\\"k\\\":[2]}\"},"
        "{\"id\":\"kept\",\"funcId\":\"t__s.k\",\"funcCallKwargsJSON\":\"{}\"}]");
    for (long i = 0; i < rounds; i++) {
        one_round(&seeds[pick(sizeof seeds / sizeof seeds[0])]);
        test_wall_us += 1000000;
    }
    harness_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
