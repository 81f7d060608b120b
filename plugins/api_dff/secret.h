/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets in rows: sealed with the installation's key and bound to their place. */
#pragma once
#include "api.h"

/* Seals (or opens) `value`. aad names its place, "table|column|id". New reference to a text, or NULL
 * and err. What was opened is wiped from the memory that the kernel gave. Any thread. */
json_t *secret_crypt(const char *aad, const char *value, bool seal, tn_err *err);
