/* SPDX-License-Identifier: Apache-2.0 */
/* Could a statement leave something in its session? */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* False only for a single statement that is known to read and change rows and nothing else. */
bool ss_leaves_state(const char *sql, size_t n);
