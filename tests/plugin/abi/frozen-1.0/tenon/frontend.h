/* SPDX-License-Identifier: Apache-2.0 */
/* Frontends own listeners and connections; they know no routes. Everything runs on the hub's loop
 * thread and must not block. */
#ifndef TENON_FRONTEND_H
#define TENON_FRONTEND_H

#include <tenon/http.h>

typedef struct tn_frontend_ops {
    uint32_t size;
    uint32_t rsvd;
    /* Takes over listening sockets (already bound and listening, non-blocking, owned by the
     * supervisor: never shut them down) and registers with host->loop. */
    tn_rc (*start)(void *inst, const int32_t *listen_fds, uint32_t n, tn_err *);
    /* Stop accepting; answer what is in flight with Connection: close. */
    void (*drain)(void *inst);
    /* Connections that are still open, for the drain to wait for. */
    uint32_t (*active)(void *inst);
    void (*stop)(void *inst);
    /* Answers a request: exactly once, after begin() or submit(), unless it was aborted. Takes
     * reply->body and reply->fd in every case. TN_E_INVAL: a header is not allowed (nothing was
     * sent, reply() may be called again with another answer). */
    tn_rc (*reply)(void *inst, tn_http_req *req, const tn_http_reply *reply, tn_err *);
    /* The kernel will not touch the request again. Called exactly once per request for which
     * begin() was called. */
    void (*release)(void *inst, tn_http_req *req);
    /* Answers with a body of unknown length (see tn_host_http.stream). NULL: this frontend cannot. A
     * client that goes away is reported by host->http->abort() as ever. */
    tn_rc (*stream)(void *inst, tn_http_req *req, const tn_http_reply *head, tn_err *);
    tn_rc (*stream_send)(void *inst, tn_http_req *req, tn_str data, tn_err *);
    void (*stream_end)(void *inst, tn_http_req *req);
} tn_frontend_ops;

#endif
