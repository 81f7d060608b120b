/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of signing in that every way of it shares. Helper threads. */
#pragma once
#include "api.h"

/* The fields of a body with a captcha. */
#define SIGN_IN_CAPTCHA                                                                            \
    {.name = "captchaToken", .type = F_STR, .flags = FF_REQUIRED},                                 \
    {                                                                                              \
        .name = "captcha", .type = F_STR, .flags = FF_REQUIRED, .min = 4, .max = 4                 \
    }

/* Uses the captcha of the body up; false: answered. */
bool sign_in_captcha(struct api_req *r, const char *category);
/* Counts the attempt of that name; false: it has to wait, answered. what: what there were too many of. */
bool sign_in_brake(struct api_req *r, tn_str name, const char *what);
/* Begins a session for that user row and answers with its token. */
void sign_in_done(struct api_req *r, const json_t *user);
/* {"signInWaitTimeout": seconds} */
json_t *sign_in_wait(int64_t seconds);

/* integration.c: the user of a token that a sign-in function has vouched for; NULL: answered. */
json_t *integrated_user(struct api_req *r, const json_t *claims);
/* Refuses what needs a stored user; true: answered. */
bool integrated_refuse(struct api_req *r);
/* Functions that the login screen offers, [{"id","title"}]; NULL on error. */
json_t *integrated_funcs(tn_err *err);
