/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.x framing: where a head ends, what it says, and chunks. Pure: no connection, no clock; fuzzed
 * on its own. */
#pragma once
#include "plugins/http_common/http.h"

/* ---- parse.c: heads --------------------------------------------------------------------------------- */
enum scan_result { SCAN_MORE, SCAN_HEAD, SCAN_BAD };
struct scan {
    size_t at;    /* bytes looked at */
    size_t line;  /* begin of the line that is being looked at */
    size_t start; /* begin of the request line */
    size_t end;   /* SCAN_HEAD: behind the empty line */
};
/* Looks for the end of the head in n bytes, of which the first s->at were seen before. SCAN_BAD: the
 * message is refused. */
enum scan_result scan_head(struct scan *s, const char *p, size_t n, struct message *m);
/* Takes the head p[s->start .. s->end) apart, in place: names become lower case, and NULs are put
 * behind every piece. false: the message is refused. */
bool parse_head(const struct scan *s, char *p, struct head *h);

/* ---- chunked.c: chunks (RFC 9112 section 7.1) ---------------------------------------------------------- */
enum chunk_result { CHUNK_MORE, CHUNK_DATA, CHUNK_SIZE, CHUNK_END, CHUNK_BAD };
struct chunked {
    uint64_t left;   /* of this chunk's data */
    uint32_t digits; /* of its size */
    uint32_t extra;  /* bytes of extensions of this chunk, of all trailers */
    uint32_t trailers;
    uint8_t state;
};
/* Takes *used bytes of p. CHUNK_SIZE: c->left is a new chunk's size; CHUNK_DATA: *ret_n bytes at *ret. */
enum chunk_result chunked_feed(struct chunked *c, const struct http_conf *conf, const char *p,
                               size_t n, size_t *used, const char **ret, size_t *ret_n);
