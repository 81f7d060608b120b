/* SPDX-License-Identifier: Apache-2.0 */
/* Streaming parser for multipart/form-data (RFC 7578, RFC 2046 section 5.1). Pure: no files, no
 * connection; bounded in every direction; what it accepts does not depend on how the input is cut. */
#pragma once
#include "plugins/http_common/text.h"

#define MP_HEADER_MAX   8192 /* bytes of the headers of one part */
#define MP_BOUNDARY_MAX 70   /* RFC 2046 section 5.1.1 */
#define MP_NAME_MAX     1024 /* bytes of a field or file name */

struct multipart;

/* Headers of a part, decoded; borrowed until the callback returns. */
struct multipart_head {
    tn_str name;
    tn_str filename; /* base name, UTF-8, no control characters; absent for a field */
    tn_str type;     /* Content-Type, "" when absent */
    tn_str encoding; /* Content-Transfer-Encoding, "7bit" when absent */
};
struct multipart_events {
    /* Return false to stop; fill *why. */
    bool (*begin)(void *user, const struct multipart_head *head, struct text_refusal *why);
    bool (*data)(void *user, const char *p, size_t n, struct text_refusal *why);
    bool (*end)(void *user, struct text_refusal *why);
};

/* content_type is the whole header value. NULL: not multipart/form-data with a usable boundary
 * (status 400 or 415) or no memory (503). */
struct multipart *multipart_create(tn_str content_type, const struct multipart_events *events,
                                   void *user, struct text_refusal *why);
/* false: the input is refused; nothing may be fed any more. */
bool multipart_feed(struct multipart *m, const char *p, size_t n, struct text_refusal *why);
/* The body ended: false when it ended inside a part. */
bool multipart_finish(struct multipart *m, struct text_refusal *why);
void multipart_destroy(struct multipart *m);

/* The base name of what a client calls its file: after the last slash or backslash. */
tn_str multipart_base_name(tn_str name);
