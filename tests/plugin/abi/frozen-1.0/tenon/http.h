/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP exchange as frontends hand it to the kernel and as apis answer it. */
#ifndef TENON_HTTP_H
#define TENON_HTTP_H

#include <tenon/types.h>

typedef struct tn_http_pair {
    tn_str name;   /* header names are lower case; query names are decoded */
    tn_str value;  /* decoded once */
} tn_http_pair;

/* One part of a multipart/form-data body (RFC 7578). */
typedef struct tn_http_part {
    tn_str name;
    tn_str filename;  /* base name, UTF-8; s == NULL for a plain field */
    tn_str type;      /* media type, "" when absent */
    tn_str encoding;  /* Content-Transfer-Encoding, "7bit" when absent */
    tn_str value;     /* plain field: its bytes */
    tn_str path;      /* file: absolute path of the spooled copy, NUL-terminated */
    uint64_t size;    /* bytes */
} tn_http_part;

/* tn_http_req.flags */
#define TN_REQ_TRUSTED_PROXY (1u << 0) /* peer and scheme were taken from X-Forwarded-* */
#define TN_REQ_HTTP10        (1u << 1)

/* The frontend owns the request and everything it points to. From begin() until release() it is
 * valid and, but for the two user pointers, immutable; it may be read from helper threads. */
typedef struct tn_http_req {
    uint32_t size;
    uint32_t flags;
    uint64_t id;              /* unique in this process */
    uint64_t start_ns;        /* CLOCK_MONOTONIC when the request line was complete */
    int64_t start_us;         /* wall clock, microseconds since 1970 UTC */
    tn_str method;            /* as sent, e.g. "GET" */
    tn_str target;            /* request target exactly as sent (RFC 9112 section 3.2) */
    tn_str path;              /* decoded once, dot segments resolved, starts with "/" */
    tn_str query;             /* raw, without "?" */
    tn_str scheme;            /* "http" or "https" */
    tn_str peer;              /* address text of the client */
    const tn_http_pair *headers;
    const tn_http_pair *args; /* decoded query fields in order */
    const tn_http_part *parts;
    uint32_t nheaders, nargs, nparts;
    uint32_t rsvd;
    const uint8_t *body;      /* complete body (a spooled one is mapped); NULL before submit() */
    size_t body_len;
    void *frontend;           /* the frontend's */
    void *kernel;             /* the kernel's */
    void *api;                /* the api plugin's, NULL at first */
} tn_http_req;

/* First header of that lower-case name, or an absent tn_str. */
static inline tn_str tn_http_header(const tn_http_req *req, const char *name)
{
    for (uint32_t i = 0; i < req->nheaders; i++) {
        const tn_str *h = &req->headers[i].name;
        size_t k = 0;
        while (k < h->n && name[k] != '\0' && h->s[k] == name[k]) {
            k++;
        }
        if (k == h->n && name[k] == '\0') {
            return req->headers[i].value;
        }
    }
    tn_str absent = {NULL, 0}; /* no compound literal: C++ has none */
    return absent;
}

/* tn_http_reply.flags */
#define TN_REPLY_CLOSE   (1u << 0) /* close the connection afterwards */
#define TN_REPLY_ETAG    (1u << 1) /* add a weak ETag over the body and honour If-None-Match */
#define TN_REPLY_NO_GZIP (1u << 2) /* never compress */
#define TN_REPLY_DELETE  (1u << 3) /* unlink fd_path when the body has been sent or given up */

/* A complete answer. `headers` are borrowed until reply() returns; body and fd are taken. */
typedef struct tn_http_reply {
    uint32_t size;
    uint32_t status;              /* 100..999; 599 is used by the DFF vocabulary */
    const tn_http_pair *headers;  /* validated: a name or value that is not allowed in a header
                                     makes reply() fail with TN_E_INVAL and nothing is sent */
    uint32_t nheaders;
    uint32_t flags;               /* TN_REPLY_* */
    const uint8_t *body;
    size_t body_len;
    void (*body_free)(void *owner);  /* NULL: body is static */
    void *body_owner;
    int32_t fd;                   /* >= 0: body is fd_len bytes from fd_off, sent by zero copy */
    uint32_t nclean;              /* so many of the first headers are well formed by the way the api
                                     makes them, and none is the connection's or the body's: they
                                     need no look. 0 = all are looked at */
    uint64_t fd_off, fd_len;
    const char *fd_path;          /* for TN_REPLY_DELETE; borrowed until reply() returns */
} tn_http_reply;

/* What the frontend shall do with the body that follows the headers. */
#define TN_PLAN_ANSWERED  (1u << 0) /* reply() was or will be called; read no body */
#define TN_PLAN_MULTIPART (1u << 1) /* parse multipart/form-data, spool files to upload_dir */
typedef struct tn_http_plan {
    uint32_t size;
    uint32_t flags;
    uint64_t max_body;       /* bytes; beyond it the frontend calls refuse(…, 413, …) */
    uint64_t spool_above;    /* bytes kept in memory before spooling to disk */
    const char *upload_dir;  /* for multipart files; each becomes a file of its own there */
    const char *upload_stamp;/* prefix of spooled file names, e.g. "20260101120000" */
} tn_http_plan;

#endif
