/* SPDX-License-Identifier: Apache-2.0 */
/* tenon conn: lists the connectors of the platform that runs here and tries them out, over its own API. */
#include "kernel/base/buf.h"
#include "kernel/base/clock.h"
#include "kernel/cli/cli.h"
#include "kernel/conf/settings.h"
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX (64u << 20)
#define PATIENCE_S 30 /* the platform itself ends a test after 15 s */

static const char usage[] =
    "tenon conn list [--data DIR] [--listen ADDR:PORT]\n"
    "tenon conn test ID... [--data DIR] [--listen ADDR:PORT]\n\n"
    "Lists the connectors of the platform that runs over DIR, or connects with them as a script would: name\n"
    "resolution, TCP, TLS, sign-in, one harmless query. Needs to read DIR/localhost-auth-token.\n"
    "Exit code 1: one of them cannot be used.\n";

struct platform {
    CURL *curl;
    char base[300];
    struct curl_slist *headers;
    struct buf answer;
};

static size_t keep(char *data, size_t size, size_t n, void *user)
{
    int bad = buf_add(user, data, size * n);
    return bad ? 0 : size * n;
}

/* The first address of --listen as a client on this machine uses it. */
static void base_url(const char *listen, char *ret, size_t cap)
{
    char first[200];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(listen, ","), listen);
    char *port = strrchr(first, ':');
    if (port != NULL) {
        *port++ = '\0';
    }
    const char *host = strcmp(first, "0.0.0.0") == 0 || first[0] == '\0' ? "127.0.0.1"
                       : strcmp(first, "[::]") == 0                      ? "[::1]"
                                                                         : first;
    snprintf(ret, cap, "http://%s:%s", host, port != NULL ? port : "8088");
}

static int read_token(const char *data, char *ret, size_t cap)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/localhost-auth-token", data);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd >= 0 ? read(fd, ret, cap - 1) : -1;
    if (n < 0) {
        fprintf(stderr,
                "tenon conn: %s: %s; --data names the folder of the platform that runs here\n",
                path, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    ret[n > 0 ? n : 0] = '\0';
    ret[strcspn(ret, "\r\n")] = '\0';
    return n > 0;
}

static int platform_open(struct platform *p, const struct settings *s)
{
    char token[256], header[320];
    *p = (struct platform){.answer = BUF_INIT(ANSWER_MAX)};
    if (!read_token(s->data, token, sizeof token)) {
        return 0;
    }
    base_url(s->listen, p->base, sizeof p->base);
    snprintf(header, sizeof header, "X-Localhost-Auth-Token: %s", token);
    p->curl = curl_easy_init();
    p->headers = curl_slist_append(NULL, header);
    explicit_bzero(token, sizeof token);
    explicit_bzero(header, sizeof header);
    return p->curl != NULL && p->headers != NULL;
}

static void platform_close(struct platform *p)
{
    curl_slist_free_all(p->headers);
    curl_easy_cleanup(p->curl);
    buf_finish(&p->answer);
}

/* The envelope of GET /api/v1<path>; NULL after saying why there is none. */
static json_t *get(struct platform *p, const char *path)
{
    char url[1024], why[CURL_ERROR_SIZE] = "";
    snprintf(url, sizeof url, "%s/api/v1%s", p->base, path);
    buf_clear(&p->answer);
    curl_easy_setopt(p->curl, CURLOPT_URL, url);
    curl_easy_setopt(p->curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(p->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(p->curl, CURLOPT_HTTPHEADER, p->headers);
    curl_easy_setopt(p->curl, CURLOPT_TIMEOUT, (long)PATIENCE_S);
    curl_easy_setopt(p->curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(p->curl, CURLOPT_WRITEDATA, &p->answer);
    curl_easy_setopt(p->curl, CURLOPT_ERRORBUFFER, why);
    CURLcode rc = curl_easy_perform(p->curl);
    json_t *j = rc == CURLE_OK && p->answer.data != NULL
                    ? json_loadb(p->answer.data, p->answer.len, 0, NULL)
                    : NULL;
    if (!json_is_object(j)) {
        fprintf(stderr,
                "tenon conn: no answer from %s: %s; does the platform run there? (--listen)\n",
                p->base, why[0] != '\0' ? why : "it is not JSON");
        json_decref(j);
        return NULL;
    }
    return j;
}

static const char *text(const json_t *j, const char *key)
{
    const char *z = json_string_value(json_object_get(j, key));
    return z != NULL ? z : "";
}

static int list(struct platform *p)
{
    json_t *j = get(p, "/connectors/do/list?noPage=true"), *row;
    int ok = json_is_true(json_object_get(j, "ok"));
    size_t i;
    json_array_foreach(json_object_get(j, "data"), i, row)
    {
        printf("%-24s %-14s %s\n", text(row, "id"), text(row, "type"), text(row, "title"));
    }
    if (j != NULL && !ok) {
        fprintf(stderr, "tenon conn: %s\n", text(j, "message"));
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
    json_t *j = get(p, path), *detail = json_object_get(j, "detail");
    int ok = json_is_true(json_object_get(j, "ok"));
    unsigned ms = (unsigned)((clock_mono_ns() - start) / NS_PER_MS);
    const char *type = text(detail, "exceptionType"), *why = text(detail, "exception");
    if (ok) {
        printf("%s: OK (%u ms)\n", id, ms);
    } else if (j != NULL) {
        printf("%s: %s%s%s\n", id, type, *type != '\0' ? ": " : "",
               *why != '\0' ? why : text(j, "message"));
    }
    json_decref(j);
    return ok;
}

static int run(const struct settings *s, const char *what, char **ids, int n)
{
    struct platform p;
    int ok = platform_open(&p, s);
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
    struct conf_problems problems = {.text = BUF_INIT(1u << 20)};
    const char *what = argc > 1 ? argv[1] : "";
    int n = 2, rc;
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
    if (settings_load(&s, NULL, argc - n, argv + n, &problems)) {
        fputs(problems.text.data ? problems.text.data : "configuration is unusable\n", stderr);
        rc = 2;
    } else {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        rc = run(&s, what, argv + 2, ids);
        curl_global_cleanup();
    }
    buf_finish(&problems.text);
    settings_finish(&s);
    return rc;
}
