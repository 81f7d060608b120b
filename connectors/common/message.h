/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that are put together, and values of scripts as the bytes of a message or as JSON. Compiled into each plugin that
 * names it. */
#pragma once
#include <stdbool.h>
#include <tenon/tenon.h>

struct message_buf {
    char *s;
    size_t n, cap;
    bool failed; /* no memory; told by who uses the bytes */
};
void message_put(struct message_buf *b, const void *p, size_t n);
void message_puts(struct message_buf *b, const char *text);
void message_put_int(struct message_buf *b, int64_t i);
void message_free(struct message_buf *b);

/* Appends v as JSON: None, bool, numbers, texts, lists, dicts with texts as keys. TN_E_INVAL names what cannot be. */
tn_rc message_json(const tn_host *host, struct message_buf *b, const tn_val *v, tn_err *err);
/* Appends v as a message: texts and bytes as they are, anything else as JSON. */
tn_rc message_body(const tn_host *host, struct message_buf *b, const tn_val *v, tn_err *err);
