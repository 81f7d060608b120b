/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and socket messages: what is accepted, and what is refused with which words. */
#include "kernel/base/fd.h"
#include "kernel/ipc/ring.h"
#include "kernel/ipc/sock.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* after the above */
#include <cmocka.h>

static _Alignas(8) unsigned char frame[IPC_FRAME_MAX + 64];

static size_t make_call(const char *sections[IPC_S_CALL_N])
{
    struct ipc_call c = {.f = {.type = IPC_CALL, .seq = 3}};
    unsigned char *p = frame + sizeof(c);
    memset(frame, 0, sizeof(frame));
    for (int i = 0; i < IPC_S_CALL_N; i++) {
        c.len[i] = sections[i] ? (uint32_t)strlen(sections[i]) : 0;
        memcpy(p, sections[i] ? sections[i] : "", c.len[i]);
        p += c.len[i];
    }
    c.f.size = ipc_call_size(c.len);
    memcpy(frame, &c, sizeof(c));
    return c.f.size;
}

static void test_call(void **state)
{
    const char *in[IPC_S_CALL_N] = {"task-1",    "a__b", "plus", NULL,  "x",
                                    "{\"x\":1}", NULL,   NULL,   "code"};
    tn_str out[IPC_S_CALL_N];
    (void)state;
    size_t n = make_call(in);
    assert_int_equal(n % 8, 0);
    assert_int_equal(ipc_call_parse(frame, n, out, NULL), TN_OK);
    for (int i = 0; i < IPC_S_CALL_N; i++) {
        assert_int_equal(out[i].n, in[i] ? strlen(in[i]) : 0);
        assert_memory_equal(out[i].s, in[i] ? in[i] : "", out[i].n);
    }
    uint32_t huge[IPC_S_CALL_N] = {UINT32_MAX, UINT32_MAX};
    assert_int_equal(ipc_call_size(huge), 0);
}

static void refuse_call(size_t n, const char *word)
{
    tn_str out[IPC_S_CALL_N];
    tn_err err = TN_ERR_INIT;
    assert_int_equal(ipc_call_parse(frame, n, out, &err), TN_E_INVAL);
    if (!strstr(err.msg, word)) {
        print_error("\"%s\" lacks \"%s\"\n", err.msg, word);
        fail();
    }
}

static void test_bad_calls(void **state)
{
    const char *in[IPC_S_CALL_N] = {"task-1", "a__b"};
    struct ipc_call c;
    (void)state;
    size_t n = make_call(in);
    refuse_call(8, "bytes");
    refuse_call(n - 1, "bytes");
    refuse_call(n + 8, "says");
    memcpy(&c, frame, sizeof(c));
    struct ipc_call bad = c;
    bad.f.type = IPC_REPLY;
    memcpy(frame, &bad, sizeof(bad));
    refuse_call(n, "type 2");
    bad = c;
    bad.f.flags = 4;
    memcpy(frame, &bad, sizeof(bad));
    refuse_call(n, "flags 0x4");
    bad = c;
    bad.len[IPC_S_CODE] = UINT32_MAX;
    memcpy(frame, &bad, sizeof(bad));
    refuse_call(n, "add up");
    bad = c;
    bad.len[0] = 0;
    bad.len[1] = 0;
    memcpy(frame, &bad, sizeof(bad));
    refuse_call(n, "add up"); /* more than padding is left over */
    bad = c;
    bad.f.flags = IPC_F_FD;
    memcpy(frame, &bad, sizeof(bad));
    refuse_call(n, "descriptor");
}

static void test_replies(void **state)
{
    tn_str out[IPC_REPLY_N];
    tn_err err = TN_ERR_INIT;
    struct ipc_reply r = {.f = {.size = sizeof(r) + 8, .type = IPC_REPLY, .seq = 1},
                          .len = {5, 0, 0}};
    (void)state;
    memset(frame, 0, sizeof(frame));
    memcpy(frame, &r, sizeof(r));
    memcpy(frame + sizeof(r), "hello", 5);
    assert_int_equal(ipc_reply_parse(frame, r.f.size, out, &err), TN_OK);
    assert_int_equal(out[IPC_R_VALUE].n, 5);
    r.f.flags = IPC_F_FD;
    r.len[IPC_R_VALUE] = 4000000; /* lies elsewhere */
    r.len[IPC_R_ERROR] = 3;
    memcpy(frame, &r, sizeof(r));
    assert_int_equal(ipc_reply_parse(frame, r.f.size, out, &err), TN_OK);
    assert_null(out[IPC_R_VALUE].s);
    assert_int_equal(out[IPC_R_ERROR].n, 3);
    r.status = TN_CALL_STATUSES;
    memcpy(frame, &r, sizeof(r));
    assert_int_equal(ipc_reply_parse(frame, r.f.size, out, &err), TN_E_INVAL);
    assert_non_null(strstr(err.msg, "status 8"));
    r.status = 0;
    r.value_kind = 9;
    memcpy(frame, &r, sizeof(r));
    assert_int_equal(ipc_reply_parse(frame, r.f.size, out, &err), TN_E_INVAL);
    assert_non_null(strstr(err.msg, "kind 9"));
}

static void test_socket(void **state)
{
    int pair[2], fds[IPC_FDS_MAX], send[3] = {0, 1, 2};
    char buf[64];
    (void)state;
    int before = fd_count();
    assert_int_equal(ipc_pair(pair), 0);
    assert_int_equal(ipc_send(pair[0], "head", 4, "body", 4, send, 2, 0), 0);
    assert_int_equal(ipc_recv(pair[1], buf, sizeof(buf), fds, 0), 8);
    assert_memory_equal(buf, "headbody", 8);
    assert_true(fds[0] >= 0 && fds[1] >= 0);
    close(fds[0]);
    close(fds[1]);
    /* too long: dropped with its descriptors, the next one is whole */
    assert_int_equal(ipc_send(pair[0], "0123456789", 10, NULL, 0, send, 1, 0), 0);
    assert_int_equal(ipc_send(pair[0], "ok", 2, NULL, 0, NULL, 0, 0), 0);
    assert_int_equal(ipc_recv(pair[1], buf, 4, fds, 0), -1);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(fds[0], -1);
    assert_int_equal(ipc_recv(pair[1], buf, 4, fds, 0), 2);
    assert_int_equal(ipc_recv(pair[1], buf, 4, fds, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(ipc_send(pair[0], "x", 1, NULL, 0, send, 3, 0), -1);
    close(pair[0]);
    assert_int_equal(ipc_recv(pair[1], buf, 4, fds, 0), 0);
    assert_int_equal(ipc_send(pair[1], "x", 1, NULL, 0, NULL, 0, 0), -1);
    close(pair[1]);
    assert_int_equal(fd_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_bad_calls),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
