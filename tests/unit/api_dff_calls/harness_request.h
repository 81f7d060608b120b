/* SPDX-License-Identifier: Apache-2.0 */
/* The one request that is under way, between the harness files only. */
#pragma once
#include "harness.h"

extern struct request {
    tn_http_req req;
    tn_http_pair headers[64], args[64];
    tn_http_part parts[8];
    char text[65536];
    void (*release[4])(void *);
    void *user[4];
    unsigned nrelease;
    bool open;
} current;
/* Runs the release callbacks of an open request. */
void request_release(void);
/* A timer of a delayed call fires. */
void timer_fire(void);
