/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that no function needs, refused by a seccomp filter (seccomp(2), classic BPF). The list
 * denies: what is new or ordinary goes on working. Refused calls fail with an error instead of killing the
 * process, because libraries try some of them and go on without (see README). */
#include "kernel/base/err.h"
#include "kernel/worker/jail.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define X32_BIT                                                                                    \
    0x40000000u /* the second ABI of the same architecture: same calls by other numbers */
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef ARCH
/* Newer than the headers of some systems we build on; the numbers are the same on both architectures. */
enum {
    NR_io_uring_setup = 425,
    NR_io_uring_enter,
    NR_io_uring_register,
    NR_open_tree,
    NR_move_mount,
    NR_fsopen,
    NR_fsconfig,
    NR_fsmount,
    NR_fspick,
    NR_clone3 = 435,
    NR_openat2 = 437,
    NR_pidfd_getfd,
    NR_process_madvise = 440,
    NR_mount_setattr = 442,
    NR_quotactl_fd,
    NR_process_mrelease = 448,
    NR_fchmodat2 = 452
};

#define NEW_NS                                                                                     \
    (0x00020000u | 0x02000000u | 0x04000000u | 0x08000000u | 0x10000000u | 0x20000000u |           \
     0x40000000u | 0x00000080u) /* CLONE_NEW* */
#define SUID_BITS (S_ISUID | S_ISGID)

enum test { ALWAYS, IF_NOT_ZERO, IF_EQUAL, IF_ANY_BIT };
/* The low half of argument `arg` is tested: all that is looked at are numbers of 32 bits. */
static const struct rule {
    int nr;
    int error;
    enum test test;
    unsigned arg;
    uint32_t value;
} rules[] = {
    /* other processes */
    {SYS_ptrace, EPERM, ALWAYS, 0, 0},
    {SYS_process_vm_readv, EPERM, ALWAYS, 0, 0},
    {SYS_process_vm_writev, EPERM, ALWAYS, 0, 0},
    {NR_pidfd_getfd, EPERM, ALWAYS, 0, 0},
    {NR_process_madvise, EPERM, ALWAYS, 0, 0},
    {NR_process_mrelease, EPERM, ALWAYS, 0, 0},
    {SYS_kcmp, EPERM, ALWAYS, 0, 0},
    {SYS_migrate_pages, EPERM, ALWAYS, 0, 0},
    {SYS_move_pages, EPERM, ALWAYS, 0, 0},
    {SYS_prlimit64, EPERM, IF_NOT_ZERO, 0, 0}, /* limits of the hub have the same owner */
    {SYS_setpriority, EPERM, IF_NOT_ZERO, 1, 0},
    {SYS_ioprio_set, EPERM, IF_NOT_ZERO, 1, 0},
    /* the kernel itself */
    {SYS_bpf, EPERM, ALWAYS, 0, 0},
    {SYS_perf_event_open, EPERM, ALWAYS, 0, 0},
    {SYS_userfaultfd, EPERM, ALWAYS, 0, 0},
    {SYS_keyctl, EPERM, ALWAYS, 0, 0},
    {SYS_add_key, EPERM, ALWAYS, 0, 0},
    {SYS_request_key, EPERM, ALWAYS, 0, 0},
    {SYS_kexec_load, EPERM, ALWAYS, 0, 0},
    {SYS_init_module, EPERM, ALWAYS, 0, 0},
    {SYS_finit_module, EPERM, ALWAYS, 0, 0},
    {SYS_delete_module, EPERM, ALWAYS, 0, 0},
    {SYS_syslog, EPERM, ALWAYS, 0, 0},
    {SYS_reboot, EPERM, ALWAYS, 0, 0},
    {SYS_swapon, EPERM, ALWAYS, 0, 0},
    {SYS_swapoff, EPERM, ALWAYS, 0, 0},
    {SYS_acct, EPERM, ALWAYS, 0, 0},
    {SYS_quotactl, EPERM, ALWAYS, 0, 0},
    {NR_quotactl_fd, EPERM, ALWAYS, 0, 0},
    {SYS_settimeofday, EPERM, ALWAYS, 0, 0},
    {SYS_clock_settime, EPERM, ALWAYS, 0, 0},
    {SYS_adjtimex, EPERM, ALWAYS, 0, 0},
    {SYS_clock_adjtime, EPERM, ALWAYS, 0, 0},
    {SYS_sethostname, EPERM, ALWAYS, 0, 0},
    {SYS_setdomainname, EPERM, ALWAYS, 0, 0},
    {SYS_vhangup, EPERM, ALWAYS, 0, 0},
    {SYS_fanotify_init, EPERM, ALWAYS, 0, 0},
    {SYS_lookup_dcookie, EPERM, ALWAYS, 0, 0},
    /* libuv and others ask whether it is there and go on without */
    {NR_io_uring_setup, ENOSYS, ALWAYS, 0, 0},
    {NR_io_uring_enter, ENOSYS, ALWAYS, 0, 0},
    {NR_io_uring_register, ENOSYS, ALWAYS, 0, 0},
    /* mounts and namespaces */
    {SYS_mount, EPERM, ALWAYS, 0, 0},
    {SYS_umount2, EPERM, ALWAYS, 0, 0},
    {SYS_pivot_root, EPERM, ALWAYS, 0, 0},
    {SYS_chroot, EPERM, ALWAYS, 0, 0},
    {NR_open_tree, EPERM, ALWAYS, 0, 0},
    {NR_move_mount, EPERM, ALWAYS, 0, 0},
    {NR_fsopen, EPERM, ALWAYS, 0, 0},
    {NR_fsconfig, EPERM, ALWAYS, 0, 0},
    {NR_fsmount, EPERM, ALWAYS, 0, 0},
    {NR_fspick, EPERM, ALWAYS, 0, 0},
    {NR_mount_setattr, EPERM, ALWAYS, 0, 0},
    {SYS_setns, EPERM, ALWAYS, 0, 0},
    {SYS_unshare, EPERM, IF_ANY_BIT, 0, NEW_NS},
    {SYS_clone, EPERM, IF_ANY_BIT, 0,
     NEW_NS & ~0x80u},                 /* that bit is part of the exit signal here */
    {NR_clone3, ENOSYS, ALWAYS, 0, 0}, /* its flags are in memory; libc goes on with clone */
    {NR_openat2, ENOSYS, ALWAYS, 0, 0},
    {SYS_open_by_handle_at, EPERM, ALWAYS, 0, 0},
    /* objects that would outlive the call, in memory that nobody counts */
    {SYS_shmget, EPERM, ALWAYS, 0, 0},
    {SYS_msgget, EPERM, ALWAYS, 0, 0},
    {SYS_semget, EPERM, ALWAYS, 0, 0},
    {SYS_mq_open, EPERM, ALWAYS, 0, 0},
    /* files that run with the rights of their owner */
    {SYS_fchmod, EPERM, IF_ANY_BIT, 1, SUID_BITS},
    {SYS_fchmodat, EPERM, IF_ANY_BIT, 2, SUID_BITS},
    {NR_fchmodat2, EPERM, IF_ANY_BIT, 2, SUID_BITS},
    {SYS_mknodat, EPERM, IF_ANY_BIT, 2, SUID_BITS},
    {SYS_openat, EPERM, IF_ANY_BIT, 3, SUID_BITS},
    /* input for the terminal that the platform was started from */
    {SYS_ioctl, EPERM, IF_EQUAL, 1, TIOCSTI},
    {SYS_ioctl, EPERM, IF_EQUAL, 1, TIOCLINUX},
    /* families of sockets that only bring the kernel's corners within reach */
    {SYS_socket, EAFNOSUPPORT, IF_EQUAL, 0, AF_ALG},
    {SYS_socket, EAFNOSUPPORT, IF_EQUAL, 0, AF_VSOCK},
    {SYS_socket, EAFNOSUPPORT, IF_EQUAL, 0, AF_PACKET},
    {SYS_socket, EAFNOSUPPORT, IF_EQUAL, 0, AF_KEY},
    {SYS_socket, EAFNOSUPPORT, IF_EQUAL, 0, AF_RDS},
    {SYS_socket, EAFNOSUPPORT, IF_EQUAL, 0, AF_TIPC},
    {SYS_socket, EAFNOSUPPORT, IF_EQUAL, 0, AF_CAN},
    {SYS_socket, EAFNOSUPPORT, IF_EQUAL, 0, AF_BLUETOOTH},
    {SYS_socket, EAFNOSUPPORT, IF_EQUAL, 0, 44}, /* AF_XDP */
#ifdef __x86_64__
    {SYS_kexec_file_load, EPERM, ALWAYS, 0, 0},
    {SYS_iopl, EPERM, ALWAYS, 0, 0},
    {SYS_ioperm, EPERM, ALWAYS, 0, 0},
    {SYS_modify_ldt, EPERM, ALWAYS, 0, 0},
    {SYS_uselib, EPERM, ALWAYS, 0, 0},
    {SYS_ustat, EPERM, ALWAYS, 0, 0},
    {SYS_sysfs, EPERM, ALWAYS, 0, 0},
    {SYS_chmod, EPERM, IF_ANY_BIT, 1, SUID_BITS},
    {SYS_open, EPERM, IF_ANY_BIT, 2, SUID_BITS},
    {SYS_mknod, EPERM, IF_ANY_BIT, 1, SUID_BITS},
    {SYS_creat, EPERM, IF_ANY_BIT, 1, SUID_BITS},
#endif
};
#define RULES (sizeof(rules) / sizeof(*rules))

#define ARG_LOW(n) ((uint32_t)offsetof(struct seccomp_data, args[n])) /* both are little-endian */
#define OP(code_, jt_, jf_, k_)                                                                    \
    (struct sock_filter)                                                                           \
    {                                                                                              \
        (code_), (jt_), (jf_), (k_)                                                                \
    }

/* Appends what one rule needs with the number of the call in the accumulator, and leaves it there. */
static size_t put_rule(struct sock_filter *p, const struct rule *r)
{
    size_t n = 0;
    const uint32_t refuse = SECCOMP_RET_ERRNO | ((uint32_t)r->error & SECCOMP_RET_DATA);
    if (r->test == ALWAYS) {
        p[n++] = OP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)r->nr);
        p[n++] = OP(BPF_RET | BPF_K, 0, 0, refuse);
        return n;
    }
    p[n++] = OP(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, (uint32_t)r->nr);
    p[n++] = OP(BPF_LD | BPF_W | BPF_ABS, 0, 0, ARG_LOW(r->arg));
    if (r->test == IF_NOT_ZERO) {
        p[n++] = OP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0);
    } else if (r->test == IF_EQUAL) {
        p[n++] = OP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, r->value);
    } else {
        p[n++] = OP(BPF_JMP | BPF_JSET | BPF_K, 0, 1, r->value);
    }
    p[n++] = OP(BPF_RET | BPF_K, 0, 0, refuse);
    p[n++] = OP(BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offsetof(struct seccomp_data, nr));
    return n;
}

int jail_seccomp_known(void)
{
    return 1;
}

tn_rc jail_seccomp_enter(tn_err *err)
{
    struct sock_filter code[8 + RULES * 5];
    size_t n = 0;
    /* Another ABI has other numbers for the same calls: whoever uses it wants around this list. */
    code[n++] = OP(BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offsetof(struct seccomp_data, arch));
    code[n++] = OP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCH);
    code[n++] = OP(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
    code[n++] = OP(BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offsetof(struct seccomp_data, nr));
#ifdef X32_BIT
    code[n++] = OP(BPF_JMP | BPF_JSET | BPF_K, 0, 1, X32_BIT);
    code[n++] = OP(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS);
#endif
    for (size_t i = 0; i < RULES; i++) {
        n += put_rule(code + n, &rules[i]);
    }
    code[n++] = OP(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
    struct sock_fprog prog = {.len = (unsigned short)n, .filter = code};
    /* Without this flag older kernels also switch off the speculation of stores, which costs Python some
     * percent and protects nothing: a worker runs any machine code as it is. */
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &prog)) {
        return err_sys(err, errno, "setting the seccomp filter");
    }
    return TN_OK;
}

#else /* another architecture: its numbers were not checked by anybody */

int jail_seccomp_known(void)
{
    return 0;
}

tn_rc jail_seccomp_enter(tn_err *err)
{
    return err_set(err, TN_E_UNSUPP, "no list of system calls for this architecture");
}
#endif
