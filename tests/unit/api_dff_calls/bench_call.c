/* SPDX-License-Identifier: Apache-2.0 */
/* CPU time of the call path alone, per call, with a host that does nothing: request in, submission,
 * answer out. Figures to compare with each other in one run, not limits. */
#include "harness.h"

#include <stdio.h>
#include <time.h>

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void one(const char *name, const char *method, const char *target, const char *headers,
                const char *body, uint32_t kind, const char *value, int submits)
{
    enum { N = 200000 };
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        double start = cpu_us();
        for (int i = 0; i < N; i++) {
            harness_request(method, target, headers, body);
            if (submits) {
                harness_value(kind, value, NULL);
            }
        }
        double us = (cpu_us() - start) / N;
        best = us < best ? us : best;
    }
    printf("%-28s %6.3f us\n", name, best);
}

int main(void)
{
    harness_open();
    harness_load(
        "[{\"id\":\"t__s.f\",\"scriptId\":\"t__s\",\"name\":\"f\"},"
        "{\"id\":\"t__s.kept\",\"scriptId\":\"t__s\",\"name\":\"kept\","
        "\"extraConfigJSON\":\"{\\\"cacheResult\\\":300}\"}]",
        "[{\"id\":\"t__s\",\"codeMD5\":\"abc\",\"publishVersion\":3}]",
        "[{\"id\":\"sync-bench\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":"
        "\"{\\\"x\\\":\\\"INPUT_BY_CALLER\\\",\\\"y\\\":\\\"INPUT_BY_CALLER\\\"}\"},"
        "{\"id\":\"fixed\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{\\\"z\\\":1}\"},"
        "{\"id\":\"slow\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{}\","
        "\"throttlingJSON\":\"{\\\"byYear\\\":1000000000}\"},"
        "{\"id\":\"noted\",\"funcId\":\"t__s.f\",\"funcCallKwargsJSON\":\"{}\",\"taskRecordLimit\":100},"
        "{\"id\":\"kept\",\"funcId\":\"t__s.kept\",\"funcCallKwargsJSON\":\"{}\"}]");
    test_recording = false;
    const char *host = "host: 127.0.0.1:8088";
    const char *json = "host: 127.0.0.1:8088\ncontent-type: application/json";
    one("404 (harness and error)", "GET", "/api/v1/sync/none", host, NULL, 0, NULL, 0);
    one("GET simplified", "GET", "/api/v1/sync/sync-bench/simplified?x=1&y=2", host, NULL,
        TN_VALUE_JSON, "{\"result\":3}", 1);
    one("POST normal", "POST", "/api/v1/sync/sync-bench", json, "{\"kwargs\":{\"x\":1,\"y\":2}}",
        TN_VALUE_JSON, "{\"result\":3}", 1);
    one("POST normal, with a record", "POST", "/api/v1/sync/noted", json,
        "{\"kwargs\":{\"x\":1,\"y\":2}}", TN_VALUE_JSON, "{\"result\":3}", 1);
    one("POST normal, fixed", "POST", "/api/v1/sync/fixed", json, "{\"kwargs\":{\"x\":1,\"y\":2}}",
        TN_VALUE_JSON, "{\"result\":3}", 1);
    one("GET, throttled", "GET", "/api/v1/sync/slow", host, NULL, TN_VALUE_NUMBER, "3", 1);
    harness_request("GET", "/api/v1/sync/kept/s?x=1&y=2", host, NULL);
    harness_value(TN_VALUE_NUMBER, "3", NULL);
    one("GET, from the cache", "GET", "/api/v1/sync/kept/s?x=1&y=2", host, NULL, 0, NULL, 0);
    test_recording = true;
    harness_close();
    return 0;
}
