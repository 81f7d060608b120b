/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of a method as an array, whoever calls. */
#pragma once
#include <tenon/tenon.h>

/* Python has sorted arguments by the table already; any other caller (tenon-plugin-check) may leave out what has a
 * default, which becomes None here. Fills all[0..max-1]. TN_E_INVAL: one without a default is missing or is no text where the
 * table says `str`, there are more than max, or one is given by keyword. */
tn_rc args_complete(const tn_host *host, const tn_method *m, const tn_args *a, tn_val *all,
                    uint32_t max, tn_err *err);
/* The value of a dict's key, NULL: it has none. */
const tn_val *args_member(const tn_val *map, const char *key);
