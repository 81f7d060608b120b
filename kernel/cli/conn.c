/* SPDX-License-Identifier: Apache-2.0 */
/* tenon conn: lists the connectors of the platform that runs here and tries them out, over its own API. */
#include "kernel/base/clock.h"
#include "kernel/cli/cli.h"
#include "kernel/cli/platform.h"
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: tenon conn list [--data DIR] [--listen ADDR:PORT]\n"
    "       tenon conn test ID... [--data DIR] [--listen ADDR:PORT]\n\n"
    "Lists the connectors of the platform that runs over DIR, or connects with them as a script would: name\n"
    "resolution, TCP, TLS, sign-in, one harmless query. Needs to read DIR/localhost-auth-token.\n"
    "Exit code 1: one of them cannot be used.\n";

static int list(struct platform *p)
{
    json_t *j = platform_get(p, "/connectors/do/list?noPage=true"), *row;
    int ok = platform_ok(p, j);
    size_t i;
    json_array_foreach(json_object_get(j, "data"), i, row)
    {
        printf("%-24s %-14s %s\n", json_text(row, "id"), json_text(row, "type"),
               json_text(row, "title"));
    }
    json_decref(j);
    return ok;
}

static int test(struct platform *p, const char *id)
{
    char path[512];
    char *quoted = curl_easy_escape(p->curl, id, 0);
    snprintf(path, sizeof path, "/connectors/%.400s/do/test", quoted != NULL ? quoted : "");
    curl_free(quoted);
    uint64_t start = clock_mono_ns();
    json_t *j = platform_get(p, path), *detail = json_object_get(j, "detail");
    int ok = json_is_true(json_object_get(j, "ok"));
    unsigned ms = (unsigned)((clock_mono_ns() - start) / NS_PER_MS);
    const char *type = json_text(detail, "exceptionType"), *why = json_text(detail, "exception");
    if (ok) {
        printf("%s: OK (%u ms)\n", id, ms);
    } else if (j != NULL) {
        printf("%s: %s%s%s\n", id, type, *type != '\0' ? ": " : "",
               *why != '\0' ? why : json_text(j, "message"));
    }
    json_decref(j);
    return ok;
}

static int run(const struct settings *s, const char *what, char **ids, int n)
{
    struct platform p;
    int ok = platform_open(&p, "tenon conn", s);
    if (ok && strcmp(what, "list") == 0) {
        ok = list(&p);
    } else if (ok) {
        for (int i = 0; i < n; i++) {
            ok &= test(&p, ids[i]);
        }
    }
    platform_close(&p);
    return ok ? 0 : 1;
}

int cli_conn(int argc, char **argv)
{
    struct settings s;
    const char *what = argc > 1 ? argv[1] : "";
    int n = 2;
    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    while (n < argc && argv[n][0] != '-') {
        n++;
    }
    int ids = n - 2;
    if ((strcmp(what, "list") != 0 || ids != 0) && (strcmp(what, "test") != 0 || ids == 0)) {
        fputs(usage, stderr);
        return 2;
    }
    int rc = cli_settings(&s, argc - n, argv + n) ? run(&s, what, argv + 2, ids) : 2;
    settings_finish(&s);
    return rc;
}
