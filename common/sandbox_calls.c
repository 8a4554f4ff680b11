// What servers of this project do after start-up: event loops, sockets, a store on disk, memory that grows and
// shrinks, threads that come and go, logs that are reopened, files that are read anew.
#include "common/sandbox_calls.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

const char *const sandbox_allowed[] = {
    // loops, sockets
    "accept", "accept4", "bind", "connect", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2",
    "epoll_wait", "eventfd2", "getpeername", "getsockname", "getsockopt", "listen", "pipe2", "poll", "ppoll",
    "pselect6", "recvfrom", "recvmmsg", "recvmsg", "select", "sendmmsg", "sendmsg", "sendto", "setsockopt",
    "shutdown", "socketpair", "timerfd_create", "timerfd_settime",
    // files
    "access", "chmod", "close", "close_range", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64",
    "fallocate", "fchmod", "fchmodat", "fchown", "fcntl", "fdatasync", "flock", "fstat", "fstatfs", "fsync",
    "ftruncate", "getcwd", "getdents64", "inotify_add_watch", "inotify_init1", "inotify_rm_watch", "link",
    "linkat", "lseek", "lstat", "mkdir", "mkdirat", "newfstatat", "open", "openat", "pread64", "preadv",
    "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "rename",
    "renameat", "renameat2", "rmdir", "stat", "statfs", "statx", "sync_file_range", "umask", "unlink", "unlinkat",
    "utimensat", "write", "writev", "copy_file_range",
    // asynchronous reads of the store
    "io_uring_enter", "io_uring_register", "io_uring_setup",
    // memory
    "brk", "madvise", "mincore", "mlock", "mlock2", "mremap", "msync", "munlock", "munmap",
    // threads, signals, the end
    "exit", "exit_group", "futex", "get_robust_list", "gettid", "membarrier", "restart_syscall", "rseq",
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sched_getaffinity",
    "sched_getparam", "sched_getscheduler", "sched_setaffinity", "sched_yield", "set_robust_list",
    "set_tid_address", "setpriority", "sigaltstack", "getcpu",
    // who and how much
    "clock_getres", "clock_gettime", "clock_nanosleep", "getegid", "geteuid", "getgid", "getgroups", "getpid",
    "getppid", "getrandom", "getrusage", "getrlimit", "getresgid", "getresuid", "gettimeofday", "getuid",
    "nanosleep", "sysinfo", "time", "times", "uname",
    NULL,
};

const char *const sandbox_forbidden[] = {
    // other programs, other processes' memory
    "execve", "execveat", "kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev",
    "ptrace",
    // code in the kernel, and doors to it
    "bpf", "create_module", "delete_module", "finit_module", "init_module", "ioperm", "iopl", "kexec_file_load",
    "kexec_load", "modify_ldt", "perf_event_open", "userfaultfd",
    // another view of the machine
    "chroot", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree",
    "pivot_root", "setns", "umount2", "unshare",
    // other identities, keys of the kernel, the machine itself
    "add_key", "keyctl", "request_key", "capset", "setfsgid", "setfsuid", "setgid", "setgroups", "setregid",
    "setresgid", "setresuid", "setreuid", "setuid", "reboot", "swapoff", "swapon", "clock_settime", "settimeofday",
    NULL,
};

#define INT UINT64_C(0xffffffff) // the kernel reads the argument as an int: the upper half may be anything

const struct sandbox_condition sandbox_conditions[] = {
    {"clone", 0, CLONE_THREAD, CLONE_THREAD, 0},
    {"clone3", 0, 0, 0, ENOSYS},
    {"mmap", 2, PROT_EXEC, 0, 0},
    {"mmap", 2, PROT_EXEC, PROT_EXEC, EACCES},
    {"mprotect", 2, PROT_EXEC, 0, 0},
    {"mprotect", 2, PROT_EXEC, PROT_EXEC, EACCES},
    {"prctl", 0, INT, PR_SET_NAME, 0},
    {"prctl", 0, INT, PR_SET_TIMERSLACK, 0},
    {"prctl", 0, INT, PR_SET_VMA, EINVAL}, // names of mappings, which libc may want to give: older kernels have none
    {"prlimit64", 0, INT, 0, 0},
    {"socket", 0, INT, AF_UNIX, 0},
    {"socket", 0, INT, AF_INET, 0},
    {"socket", 0, INT, AF_INET6, 0},
    {"socket", 0, INT, AF_NETLINK, 0}, // getaddrinfo() asks which addresses the machine has
    {"ioctl", 1, INT, FIONREAD, 0},
    {"ioctl", 1, INT, FIONBIO, 0},
    {"ioctl", 1, INT, TCGETS, 0}, // stdio: is it a terminal?
    {NULL, 0, 0, 0, 0},
};
