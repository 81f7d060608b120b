/* SPDX-License-Identifier: Apache-2.0 */
/* The calling function, for the server's own list of what its clients do. */
#pragma once
#include <tenon/tenon.h>

#define LABEL_MAX 160

/* "script_set__script.func" into ret, with only letters, digits and `_.-` (anything else becomes `_`, so it
 * can stand in a comment or a name without quotes); returns its length, 0: no call is running. */
size_t label_caller(const tn_host *host, char ret[LABEL_MAX]);
