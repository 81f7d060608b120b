/* SPDX-License-Identifier: Apache-2.0 */
/* The platform that runs on this machine, asked over its own API as the operator: who can read the localhost token of
 * its data folder is the administrator there. */
#pragma once
#include "kernel/base/buf.h"
#include "kernel/conf/settings.h"
#include <curl/curl.h>
#include <jansson.h>

struct platform {
    const char *self; /* "tenon conn", at the head of what is said on stderr */
    CURL *curl;
    char base[300]; /* "http://127.0.0.1:8088" */
    struct curl_slist *headers;
    struct buf answer;
};

/* 0: cannot be asked, and stderr says why; platform_close() is due either way. */
int platform_open(struct platform *p, const char *self, const struct settings *s);
void platform_close(struct platform *p);
/* The envelope of GET /api/v1<path>, or of POST with a body (borrowed); NULL after saying on stderr why there is none.
 * New reference. */
json_t *platform_get(struct platform *p, const char *path);
json_t *platform_post(struct platform *p, const char *path, const json_t *body);

/* Text of a member, "" when it is missing or no text. */
const char *json_text(const json_t *o, const char *key);
/* 1 if the envelope is ok; else says its message on stderr. NULL was explained before. */
int platform_ok(const struct platform *p, const json_t *envelope);

/* Reads the settings from the options argv[0..argc); 0 after printing what is wrong with them. */
int cli_settings(struct settings *s, int argc, char **argv);
