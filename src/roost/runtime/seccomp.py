"""The seccomp filter of every container: what may be called, grouped by purpose. Pure.

An allow-list with the reach of Docker's default profile, written out by hand. Everything else is
refused: EPERM for what exists and is forbidden, ENOSYS for calls newer than this list and for
clone3, which no list names (libc then falls back to clone, whose flags a filter can read).
"""

from __future__ import annotations

import hashlib
import json

EPERM = 1
ENOSYS = 38

_NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""

NAMESPACE_FLAGS = sum(_NAMESPACES)

_FILES = """
access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32
fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64
fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64
getxattr getxattrat ioctl lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr
_llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat newfstatat open
openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat
readv removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr
setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs
tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice
write writev name_to_handle_at cachestat
"""

_EVENTS = """
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1
inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup
io_submit pipe pipe2 poll ppoll ppoll_time64 _newselect pselect6 pselect6_time64 select signalfd
signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
"""

_MEMORY = """
brk get_mempolicy_home_node madvise map_shadow_stack membarrier memfd_create memfd_secret mincore
mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc
pkey_free pkey_mprotect remap_file_pages
"""

_NETWORK = """
accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
"""

_PROCESSES = """
arch_prctl capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid
geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority
getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32
ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
pidfd_getfd pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease process_vm_readv
process_vm_writev ptrace rseq sched_getaffinity sched_getattr sched_getparam
sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval
sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
sched_yield seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid
setreuid32 setrlimit setsid set_tid_address setuid setuid32 tgkill tkill ugetrlimit vfork wait4
waitid waitpid get_thread_area set_thread_area modify_ldt chroot
"""

_SIGNALS = """
pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask
sigreturn sigpending sigsuspend
"""

_LOCKS = """
futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list set_robust_list
ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
semtimedop_time64 shmat shmctl shmdt shmget
"""

_TIME = """
adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer
time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
timer_settime64 times
"""

_SYSTEM = "getrandom sysinfo uname uretprobe"

ALLOWED: tuple[str, ...] = tuple(
    name
    for group in (
        _FILES,
        _EVENTS,
        _MEMORY,
        _NETWORK,
        _PROCESSES,
        _SIGNALS,
        _LOCKS,
        _TIME,
        _SYSTEM,
    )
    for name in group.split()
)

_FORBIDDEN = """
    acct add_key bpf clock_settime clock_settime64 create_module delete_module fanotify_init
    finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy init_module
    io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load
    keyctl lookup_dcookie mbind migrate_pages mount mount_setattr move_mount move_pages
    nfsservctl open_by_handle_at open_tree perf_event_open pivot_root process_madvise query_module
    quotactl quotactl_fd reboot request_key set_mempolicy set_mempolicy_home_node setdomainname
    sethostname setns settimeofday stime swapoff swapon sysfs _sysctl syslog umount umount2 uselib
    userfaultfd ustat vhangup vm86 vm86old
"""
FORBIDDEN: tuple[str, ...] = tuple(_FORBIDDEN.split())
"""Refused with EPERM, as programs that probe for them expect. Never in ALLOWED."""

_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux, 32-bit addresses, old uname, both, and asking."""

_AF_VSOCK = 40
"""Sockets to a hypervisor: outside every network namespace."""

_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "riscv64": ["SCMP_ARCH_RISCV64"],
    "ppc64le": ["SCMP_ARCH_PPC64LE"],
    "s390x": ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
}


def profile(machine: str) -> dict[str, object]:
    """`linux.seccomp` of config.json for a `uname -m` name (unknown ones: the native one)."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        "architectures": _ARCHITECTURES.get(machine, []),
        "syscalls": [
            _allow(*ALLOWED),
            *(_allow("personality", args=[_argument(0, p)]) for p in _PERSONALITIES),
            _allow("socket", args=[_argument(0, _AF_VSOCK, "SCMP_CMP_NE")]),
            _allow("clone", args=[_masked(_clone_flags(machine))]),
            _allow("unshare", args=[_masked(0)]),
            *_refuse_namespaces("clone", _clone_flags(machine)),
            *_refuse_namespaces("unshare", 0),
            {"names": list(FORBIDDEN), "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM},
        ],
    }


def profile_key(machine: str) -> str:
    """A name for what `profile` makes: another profile, another name."""
    text = json.dumps(profile(machine))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _clone_flags(machine: str) -> int:
    """Which argument of clone(2) holds the flags: s390 swaps the first two."""
    return 1 if machine == "s390x" else 0


def _allow(*names: str, args: list[dict[str, object]] | None = None) -> dict[str, object]:
    rule: dict[str, object] = {"names": list(names), "action": "SCMP_ACT_ALLOW"}
    return rule if args is None else rule | {"args": args}


def _argument(index: int, value: int, how: str = "SCMP_CMP_EQ") -> dict[str, object]:
    return {"index": index, "value": value, "op": how}


def _refuse_namespaces(name: str, index: int) -> list[dict[str, object]]:
    """EPERM for each flag: what falls through would be ENOSYS, as if there were no such call."""
    return [
        {
            "names": [name],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": EPERM,
            "args": [_argument(index, flag, "SCMP_CMP_MASKED_EQ") | {"valueTwo": flag}],
        }
        for flag in _NAMESPACES
    ]


def _masked(index: int) -> dict[str, object]:
    """The argument has none of the namespace flags."""
    return _argument(index, NAMESPACE_FLAGS, "SCMP_CMP_MASKED_EQ") | {"valueTwo": 0}
