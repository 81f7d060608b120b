/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a folder of its own, over the real connector, for the tests of this folder. */
#pragma once
#include "kernel/store/store.h"

struct harness {
    char dir[128];
    struct plug *plug;
    struct plug_inst inst;
    struct store *store;
};
/* A new folder below $TMPDIR (or `dir` when given), a store in it; prints and exits on failure. */
void harness_open(struct harness *h, const char *dir);
void harness_reopen(struct harness *h);                 /* close and open the same folder again */
tn_rc harness_try_open(struct harness *h, tn_err *err); /* h->dir is set, the store is closed */
void harness_close_store(struct harness *h);
void harness_close(struct harness *h); /* and removes the folder */
/* Runs SQL through the store; fails the test on error. Result: static text, valid until the next
 * call. */
const char *harness_sql(struct harness *h, const char *sql, const char *params);

/* The entities of the tests: "book" joins "shelf", "all" has every column type. */
extern const tn_entity test_entities[];
