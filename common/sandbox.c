#include "common/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/sandbox_calls.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

// ---- the end of a process that made another call

// Names by number, made at the start: nothing may be allocated in a signal handler. A number beyond has none.
enum { NAMES = 1024 };
static char *names[NAMES];

static void make_names(void)
{
    for (int i = 0; i < NAMES; i++)
        if (names[i] == NULL)
            names[i] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
}

static size_t append(char *line, size_t room, size_t at, const char *text)
{
    size_t len = strlen(text);
    if (len > room - at)
        len = room - at;
    memcpy(line + at, text, len);
    return at + len;
}

static size_t append_number(char *line, size_t room, size_t at, unsigned number)
{
    char digits[12], *p = digits + sizeof digits - 1;
    *p = '\0';
    do
        *--p = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return append(line, room, at, p);
}

// One write, then the default action of SIGSYS, which is pending until this returns.
static void on_refused_call(int signal_number, siginfo_t *info, void *context)
{
    char line[160];
    const size_t room = sizeof line;
    int call = info->si_syscall;
    size_t len = append(line, room, 0, report_program());
    (void)context;
    len = append(line, room, len, ": sandbox: system call ");
    len = append_number(line, room, len, (unsigned)call);
    if (call >= 0 && call < NAMES && names[call] != NULL) {
        len = append(line, room, len, " (");
        len = append(line, room, len, names[call]);
        len = append(line, room, len, ")");
    }
    len = append(line, room, len, " is not on the list: ending\n");
    ssize_t n = write(STDERR_FILENO, line, len);
    (void)n;
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static bool handle_refusals(struct error *e)
{
    struct sigaction action = {.sa_sigaction = on_refused_call, .sa_flags = SA_SIGINFO};
    (void)sigemptyset(&action.sa_mask);
    make_names();
    if (sigaction(SIGSYS, &action, NULL) == 0)
        return true;
    error_set(e, "sandbox: SIGSYS: %s", strerror(errno));
    return false;
}

// ---- the filter

static int add_names(scmp_filter_ctx filter, uint32_t action, const char *const *list)
{
    int status = 0;
    for (; *list != NULL && status == 0; list++) {
        int call = seccomp_syscall_resolve_name(*list);
        if (call != __NR_SCMP_ERROR)
            status = seccomp_rule_add(filter, action, call, 0);
    }
    return status;
}

static int add_condition(scmp_filter_ctx filter, const struct sandbox_condition *c)
{
    int call = seccomp_syscall_resolve_name(c->name);
    uint32_t action = c->error == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((uint16_t)c->error);
    if (call == __NR_SCMP_ERROR)
        return 0;
    if (c->mask == 0)
        return seccomp_rule_add(filter, action, call, 0);
    return seccomp_rule_add(filter, action, call, 1,
                            SCMP_CMP(c->argument, SCMP_CMP_MASKED_EQ, c->mask, c->value));
}

static int add_rules(scmp_filter_ctx filter)
{
    // abort() and raise(): signals to this process only
    const struct sandbox_condition own = {"tgkill", 0, UINT32_MAX, (uint64_t)getpid(), 0};
    int status = add_names(filter, SCMP_ACT_ALLOW, sandbox_allowed);
    for (const struct sandbox_condition *c = sandbox_conditions; c->name != NULL && status == 0; c++)
        status = add_condition(filter, c);
    if (status == 0)
        status = add_condition(filter, &own);
    return status != 0 ? status : add_names(filter, SCMP_ACT_KILL_PROCESS, sandbox_forbidden);
}

static int set_attributes(scmp_filter_ctx filter)
{
    int status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); // all threads, or none and an error
    if (status == 0)
        status = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (status == 0)
        status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); // a tree: many calls, few steps
    return status;
}

static bool load(uint32_t otherwise, struct error *e)
{
    scmp_filter_ctx filter = seccomp_init(otherwise);
    if (filter == NULL) {
        error_set(e, "sandbox: the filter cannot be made (--sandbox off goes without)");
        return false;
    }
    int status = set_attributes(filter);
    if (status == 0)
        status = add_rules(filter);
    if (status == 0)
        status = seccomp_load(filter);
    seccomp_release(filter);
    if (status != 0)
        error_set(e, "sandbox: the kernel does not take the filter: %s (--sandbox off goes without)",
                  strerror(status < 0 ? -status : status));
    return status == 0;
}

bool sandbox_apply(enum sandbox_mode mode, bool *applied, struct error *e)
{
    *applied = false;
    if (mode == SANDBOX_OFF || SANITIZED)
        return true;
    if (mode == SANDBOX_ON && !handle_refusals(e))
        return false;
    *applied = load(mode == SANDBOX_LOG ? SCMP_ACT_LOG : SCMP_ACT_TRAP, e);
    return *applied;
}
