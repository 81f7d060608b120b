/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the stub host. */
#pragma once
#include <stdint.h>
#include <tenon/tenon.h>

struct stub_counts {
    uint64_t begun, submitted, aborted, released, malformed, answered, limited, canceled;
};
extern struct stub_counts counts;
extern const tn_frontend_ops *ops;
extern void *inst;
extern const char *dir;
_Noreturn void die(const char *what, const char *why);

/* stub_loop.c: epoll, timers, one look at them */
struct tn_timer {
    struct tn_timer *next;
    uint64_t at; /* 0: not set */
    void (*cb)(void *);
    void *user;
};
extern const tn_host_loop host_loop;
uint64_t now_ns(void);
int64_t wall_us(void);
void stub_loop_init(void);
void stub_turn(void); /* waits 100 ms at most */
void stub_loop_finish(void);

/* stub_http.c: requests and their answers */
extern const tn_host_http host_http;
void stub_requests_release(void); /* what stop() did not abort */
void stub_requests_finish(void);
