/* SPDX-License-Identifier: Apache-2.0 */
/* One answer while it is built from a function's result; between the respond*.c files only. */
#pragma once
#include "call.h"

/* Response control of a result (spec 2.8); absent members are absent texts. */
struct control {
    tn_json_member status, type, headers, download, file;
    bool allow304, auto_delete;
};

struct answer {
    struct call *call;
    struct api_stamp stamp;
    struct control control;
    struct str text; /* what header values point into; reserved once, never moves */
    uint32_t status;
    bool has_type; /* the script's headers have a Content-Type */
    tn_str type;   /* media type to send otherwise */
    char why[600]; /* set when a step returned false: the call fails with this text */
};

/* respond_head.c. False: `why` says what is wrong with the response control. */
bool answer_control(struct answer *a, const tn_call_result *result);
/* Status, the script's own headers, Last-Modified. */
bool answer_head(struct answer *a);
/* Content-Disposition: attachment with that name, or with `fallback` when download is just true. */
bool answer_attach(struct answer *a, tn_str fallback);
/* True when `download` asks for an attachment; name gets the given name or is absent. */
bool answer_download(struct answer *a, tn_str *ret_name);
/* The media type of content_type (an extension or a type), or absent. */
tn_str answer_type(struct answer *a);
/* Stores text that headers may point to. */
tn_str answer_keep(struct answer *a, tn_str text);

/* respond_file.c: the file of the control; *ret_missing: it is not there (any more). */
bool answer_file(struct answer *a, bool kept, bool *ret_missing);

/* Sends; body is taken. Content-Type is added when the script gave none. */
void answer_send(struct answer *a, struct str *body_take);
/* Sends fd (taken); path for auto delete or NULL. */
void answer_send_fd(struct answer *a, int fd, uint64_t len, const char *path);
