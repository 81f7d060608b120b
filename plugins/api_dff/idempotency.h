/* SPDX-License-Identifier: Apache-2.0 */
/* Idempotency-Key: a request that creates work may be sent again without creating it twice. */
#pragma once
#include "call.h"

#define IDEM_HEX 65 /* 256 bits as text, with NUL */
struct idem {
    bool given;
    char key[256];        /* as sent */
    char who[129];        /* whose key it is */
    char print[IDEM_HEX]; /* digest of the request */
};
/* Reads the header. who: user id of a signed-in caller; absent: keys belong to the API that is called
 * (tn_task_req.origin_id keeps those apart). The digest covers path, query (but the session token) and
 * body or parts. False: the key is malformed, 400. Any thread. */
bool idem_read(const tn_http_req *req, tn_str who, struct idem *ret, struct call_refusal *why);
/* The stored key of the request's i-th task; tn_task_req.idempotency points to `ret`, .fingerprint to
 * idem.print. */
void idem_key(const struct idem *idem, uint32_t i, char ret[IDEM_HEX]);
/* TN_E_CONFLICT of submit() in words: 422. Returns false. */
bool idem_conflict(struct call_refusal *why);
/* tasks.c: answers a managed request with data, with that conflict, or with the error. */
void idem_answer(struct api_req *r, tn_rc rc, json_t *data_take, const tn_err *err);
/* The header of a replayed answer. */
extern const tn_http_pair idem_replayed;
