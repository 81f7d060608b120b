/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the running platform with the localhost token of its data folder. */
#include "kernel/cli/platform.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX (64u << 20)
#define PATIENCE_S                                                                                 \
    30 /* the longest that is asked for is the test of a connector, ended after 15 s */

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

static int read_token(const char *self, const char *data, char *ret, size_t cap)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/localhost-auth-token", data);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd >= 0 ? read(fd, ret, cap - 1) : -1;
    if (n < 0) {
        fprintf(stderr, "%s: %s: %s; %s\n", self, path, strerror(errno),
                errno == EACCES ? "run this as the user of the platform"
                                : "--data names the folder of the platform that runs here");
    } else if (n == 0) {
        fprintf(stderr,
                "%s: %s is empty; remove it, the next start of the platform makes a new one\n",
                self, path);
    }
    if (fd >= 0) {
        close(fd);
    }
    ret[n > 0 ? n : 0] = '\0';
    ret[strcspn(ret, "\r\n")] = '\0';
    return n > 0;
}

int platform_open(struct platform *p, const char *self, const struct settings *s)
{
    char token[256], header[320];
    *p = (struct platform){.self = self, .answer = BUF_INIT(ANSWER_MAX)};
    if (!read_token(self, s->data, token, sizeof token)) {
        return 0;
    }
    base_url(s->listen, p->base, sizeof p->base);
    snprintf(header, sizeof header, "X-Localhost-Auth-Token: %s", token);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    p->curl = curl_easy_init();
    p->headers = curl_slist_append(curl_slist_append(NULL, header),
                                   "Content-Type: application/json");
    explicit_bzero(token, sizeof token);
    explicit_bzero(header, sizeof header);
    return p->curl != NULL && p->headers != NULL;
}

void platform_close(struct platform *p)
{
    curl_slist_free_all(p->headers);
    curl_easy_cleanup(p->curl);
    curl_global_cleanup();
    buf_finish(&p->answer);
}

/* text NULL = GET. */
static json_t *ask(struct platform *p, const char *path, const char *text)
{
    char url[1024], why[CURL_ERROR_SIZE] = "";
    snprintf(url, sizeof url, "%s/api/v1%s", p->base, path);
    buf_clear(&p->answer);
    curl_easy_reset(p->curl);
    curl_easy_setopt(p->curl, CURLOPT_URL, url);
    curl_easy_setopt(p->curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(p->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(p->curl, CURLOPT_HTTPHEADER, p->headers);
    curl_easy_setopt(p->curl, CURLOPT_TIMEOUT, (long)PATIENCE_S);
    curl_easy_setopt(p->curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(p->curl, CURLOPT_WRITEDATA, &p->answer);
    curl_easy_setopt(p->curl, CURLOPT_ERRORBUFFER, why);
    if (text != NULL) {
        curl_easy_setopt(p->curl, CURLOPT_POSTFIELDS, text);
    }
    CURLcode rc = curl_easy_perform(p->curl);
    json_t *j = rc == CURLE_OK && p->answer.data != NULL
                    ? json_loadb(p->answer.data, p->answer.len, 0, NULL)
                    : NULL;
    if (!json_is_object(j)) {
        fprintf(stderr, "%s: no answer from %s: %s; does the platform run there? (--listen)\n",
                p->self, p->base, why[0] != '\0' ? why : "it is not JSON");
        json_decref(j);
        return NULL;
    }
    return j;
}

json_t *platform_get(struct platform *p, const char *path)
{
    return ask(p, path, NULL);
}

json_t *platform_post(struct platform *p, const char *path, const json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_t *j = text != NULL ? ask(p, path, text) : NULL;
    if (text != NULL) {
        explicit_bzero(text, strlen(text)); /* may hold a password */
    }
    free(text);
    return j;
}

const char *json_text(const json_t *o, const char *key)
{
    const char *z = json_string_value(json_object_get(o, key));
    return z != NULL ? z : "";
}

int platform_ok(const struct platform *p, const json_t *envelope)
{
    int ok = json_is_true(json_object_get(envelope, "ok"));
    if (envelope != NULL && !ok) {
        const char *detail = json_text(json_object_get(envelope, "detail"), "message");
        fprintf(stderr, "%s: %s%s%s\n", p->self, json_text(envelope, "message"),
                *detail != '\0' ? ": " : "", detail);
    }
    return ok;
}

int cli_settings(struct settings *s, int argc, char **argv)
{
    struct conf_problems problems = {.text = BUF_INIT(1u << 20)};
    tn_rc rc = settings_load(s, NULL, argc, argv, &problems);
    if (rc) {
        fputs(problems.text.data ? problems.text.data : "the configuration is unusable\n", stderr);
    }
    buf_finish(&problems.text);
    return rc == TN_OK;
}
