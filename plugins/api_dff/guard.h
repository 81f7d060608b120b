/* SPDX-License-Identifier: Apache-2.0 */
/* Brakes on guessing passwords, and the picture that tells people from programs. */
#pragma once
#include "api.h"

/* Counts an attempt before the password is looked at, so that parallel guesses count too. Returns
 * the seconds to wait (the attempt is refused and not counted), 0 = go on, -1 = error in err. Per
 * user name from the 10th failure min(900, 60 * 2^(n-10)) s, per client address from the 50th
 * within an hour. */
int64_t guard_enter(tn_str username, tn_str address, tn_err *err);
/* The password was right: forget the user's failures and give the address its attempt back. */
void guard_success(tn_str username, tn_str address);
/* The user has a new password: nothing counts against the name any more. */
void guard_forget(tn_str username);
/* Seconds to wait after a failure that was just counted. */
int64_t guard_wait(tn_str username);
/* Pure part: the wait in ms after `failures` failures with this threshold. */
int64_t guard_delay_ms(int64_t failures, int64_t threshold, int64_t max_s);

/* NULL: right (and used up now). Otherwise the message of EUserCaptcha. */
const char *captcha_check(tn_str category, tn_str token, tn_str answer);
/* Keeps a new answer for the token and draws it. */
void captcha_make(tn_str category, tn_str token, struct str *svg);
