/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the connector share. */
#pragma once
#include <tenon/tenon.h>

enum { MEM_GET = 1, MEM_PUT, MEM_VALUES, MEM_TABLE, MEM_FAIL, MEM_SLEEP };
enum { MEM_KEYS = 32, MEM_KEY_MAX = 64, MEM_VALUE_MAX = 1024 };

struct mem_conf {
    int64_t rows_max;
    tn_secret password;
};
struct mem { /* an instance: the kernel allocates and zeroes it */
    const struct mem_conf *conf;
};
struct mem_conn { /* a connection: ours; the kernel only hands the pointer back */
    int stop_fd;  /* cancel() makes it readable */
    int broken;   /* the peer "has gone" */
    uint32_t n;
    struct {
        uint32_t key_len, value_len;
        char key[MEM_KEY_MAX], value[MEM_VALUE_MAX];
    } slots[MEM_KEYS];
};
extern const tn_host *mem_host;
extern const tn_method mem_methods[];

tn_rc mem_check(void *inst, void *conn, uint64_t deadline_ns, tn_err *err);
tn_rc mem_invoke(void *inst, void *conn, uint32_t method, const tn_args *args, uint64_t deadline_ns,
                 tn_result *ret, tn_err *err);
tn_rc mem_emit(void *inst, const tn_result *result, tn_sink *sink, tn_err *err);
void mem_result_free(void *inst, tn_result *result);
