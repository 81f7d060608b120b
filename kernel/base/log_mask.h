/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing registered secrets in text (log lines, task output, error reports). */
#pragma once
#include "kernel/base/buf.h"

#include <stdbool.h>

/* Whether anything is registered; one atomic load. */
bool log_mask_any(void);
/* Appends text to out with every registered form replaced by *****. Returns whether something was
 * replaced; when not, out is unchanged and text can be used as it is. Any thread. */
bool log_mask_apply(tn_str text, struct buf *out);
