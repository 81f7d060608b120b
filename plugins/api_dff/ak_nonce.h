/* SPDX-License-Identifier: Apache-2.0 */
/* The nonces that access keys have used: kept in the store, so that a restart forgets none. */
#pragma once
#include "api.h"

/* A request may be this old or this far ahead of the clock. */
int64_t ak_window_s(void);

/* TN_OK: not used yet; TN_E_CONFLICT: used within the last _WEB_AK_NONCE_TTL seconds; else an
 * error. Helper threads. */
tn_rc ak_nonce_check(tn_str ak, tn_str nonce, tn_err *err);
/* Remembers it; of several at the same time one gets TN_OK and the others TN_E_CONFLICT.
 * TN_E_LIMIT: too many requests were signed within the window to remember them all. */
tn_rc ak_nonce_use(tn_str ak, tn_str nonce, tn_err *err);
