/* SPDX-License-Identifier: Apache-2.0 */
/* Exercising a live plugin against the contract (tenon-plugin-check). */
#pragma once
#include "kernel/plug/plug.h"

/* Where results go. step() says what is tried next, so that a crash can be blamed. */
struct conform {
    void (*step)(const char *fmt, ...) TN_PRINTF(1, 2);
    void (*pass)(void);
    void (*fail)(const char *fmt, ...) TN_PRINTF(1, 2);
    void (*skip)(const char *fmt, ...) TN_PRINTF(1, 2);
};
/* One call that shall be made in earnest: method and a JSON array of arguments. */
struct conform_call {
    const char *method, *args;
};
/* All steps for an attached connector. */
void conform_connector(const struct conform *to, const struct plug_inst *pi,
                       const struct conform_call *calls, size_t ncalls);
void conform_auth(const struct conform *to, const struct plug_inst *pi);

/* A sink that checks what a plugin describes: nesting, keys, cell counts, types, UTF-8. */
struct conform_sink {
    tn_sink sink;
    char problem[200]; /* first violation, "" = none */
    unsigned depth, calls;
    unsigned fail_at; /* this call (1 = first) fails with TN_E_CANCELED; 0 = never */
    int after_error;  /* calls that came after the failed one */
    int done;         /* top-level values seen */
    struct conform_level {
        char kind; /* 'l'ist, 'm'ap, 't'able */
        int has_key;
        uint32_t ncols;
        const tn_col *cols;
    } levels[64];
};
void conform_sink_init(struct conform_sink *s, unsigned fail_at);
/* NULL, or what is wrong now that the description has ended. */
const char *conform_sink_verdict(struct conform_sink *s);
