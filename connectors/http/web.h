/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the HTTP connector share. */
#pragma once
#include "common/http.h"

#include <stdbool.h>

struct web_conf {
    struct http_conf http;
    const char *path, *region, *service;
    bool block_private;
    int64_t redirects, retries;
    tn_dur timeout;
};
struct web { /* an instance */
    const struct web_conf *conf;
};
struct web_conn {
    struct web *inst;
    struct http *http;
    bool used;         /* something was asked; what checks a fresh one would only be in the way */
    bool streaming;    /* an answer is being read */
    uint64_t piece_ns; /* longest wait for a piece of it, 0: none */
};
extern const tn_host *web_host;

/* What a method was asked for. */
struct web_call {
    const char *method; /* upper case */
    tn_str url;
    const tn_val *params, *headers, *json, *data, *timeout, *redirects;
    bool raise, stream;
};
/* How a body is shown: by its content type, or as it was asked for. */
enum { WEB_AUTO, WEB_JSON, WEB_TEXT, WEB_BYTES };
/* Several forms of a result. */
enum { WEB_DICT, WEB_PAIR, WEB_NONE, WEB_CHUNK };
struct web_result {
    struct http_reply reply;
    int form, shown;
};

/* ---- request.c ---- */
/* Asks, again where that is safe; an error with raise when the status is 400 or more. */
tn_rc web_ask(struct web_conn *c, const struct web_call *call, uint64_t deadline_ns,
              struct http_reply *ret, tn_err *err);
/* The time limit of a request, of the script or the configuration; 0: none. */
uint64_t web_timeout_ns(const struct web_conf *conf, const tn_val *timeout);
/* ---- answer.c ---- */
/* What a body is, decided before it is described: TN_E_REMOTE when it is not what was asked for. */
tn_rc web_look(struct web_result *r, tn_str parse, tn_err *err);
tn_rc web_emit(void *inst, const tn_result *result, tn_sink *sink, tn_err *err);
