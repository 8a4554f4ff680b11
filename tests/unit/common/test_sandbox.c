// What a process in the sandbox may do, and how it ends when it does something else. Each try is a child, since a filter
// cannot be taken off.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <unistd.h>

#include "common/net.h"
#include "common/sandbox.h"
#include "common/thread_signals.h"

enum { FAULT = 99, NOT_APPLIED = 98 };

// Runs body in a child within the sandbox; its wait status, and what it wrote on standard error.
static char said[512];
static int run(enum sandbox_mode mode, int (*body)(void))
{
    int ends[2], status = -1;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool applied;
        struct error e = {""};
        (void)dup2(ends[1], STDERR_FILENO);
        if (!sandbox_apply(mode, &applied, &e))
            _exit(FAULT);
        _exit(applied ? body() : NOT_APPLIED);
    }
    (void)close(ends[1]);
    size_t len = 0;
    ssize_t n;
    while (len < sizeof said - 1 && (n = read(ends[0], said + len, sizeof said - 1 - len)) > 0)
        len += (size_t)n;
    said[len] = '\0';
    (void)close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void skip_if_sanitized(void)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    skip();
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
    skip();
#endif
#endif
}

static void expect_killed(enum sandbox_mode mode, int (*body)(void))
{
    int status = run(mode, body);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
        fail_msg("wait status %x, expected SIGSYS: %s", (unsigned)status, said);
}

static void *thread_body(void *arg)
{
    return arg;
}

// Threads, files, memory, sockets, and reading what the kernel says about the sandbox.
static int works(void)
{
    pthread_t thread;
    char line[128];
    bool seen = false;
    if (pthread_create(&thread, NULL, thread_body, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 1;
    FILE *status = fopen("/proc/self/status", "re");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        seen = seen || strcmp(line, "Seccomp:\t2\n") == 0;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    return status != NULL && fclose(status) == 0 && seen && page != MAP_FAILED && s >= 0 ? 0 : 2;
}

static int makes_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool refused = code == MAP_FAILED && errno == EACCES;
    return page != MAP_FAILED && refused && mprotect(page, 4096, PROT_READ | PROT_EXEC) != 0 &&
                   errno == EACCES
               ? 0
               : 1;
}

static int runs_a_program(void)
{
    return execl("/bin/true", "true", (char *)NULL);
}

static int traces(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1;
}

static int becomes_two(void)
{
    return fork() >= 0 ? 0 : 1;
}

static int opens_a_packet_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) >= 0 ? 0 : 1;
}

static int sends_a_signal_to_its_parent(void)
{
    return kill(getppid(), 0) == 0 ? 0 : 1;
}

static int may_be_dumped_again(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 ? 0 : 1;
}

static int asks_for_a_priority(void) // on no list, and harmless
{
    return syscall(SYS_ioprio_get, 1, 0) >= 0 ? 0 : 1;
}

static void *asks(void *arg)
{
    (void)asks_for_a_priority();
    return arg;
}

// As servers start their threads.
static int a_thread_asks_for_a_priority(void)
{
    pthread_t thread;
    sigset_t before;
    thread_signals_block(&before);
    int rc = pthread_create(&thread, NULL, asks, NULL);
    thread_signals_restore(&before);
    return rc == 0 && pthread_join(thread, NULL) == 0 ? 0 : 1;
}

// glibc asks the kernel for an interface's name, and number.
static int names_a_link_local_address(void)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(443), .sin6_scope_id = 1};
    char text[NET_ADDR_TEXT];
    struct net_addr addr;
    struct error e;
    sa.sin6_addr.s6_addr[0] = 0xfe;
    sa.sin6_addr.s6_addr[1] = 0x80;
    (void)net_addr_format((const struct sockaddr *)&sa, sizeof sa, text);
    (void)net_addr_parse("[fe80::1%lo]:443", &addr, &e);
    return strncmp(text, "[fe80::", 7) == 0 ? 0 : 1;
}

static int aborts(void)
{
    (void)raise(SIGABRT);
    return 1;
}

static void what_servers_do_works(void **state)
{
    (void)state;
    skip_if_sanitized();
    assert_int_equal(run(SANDBOX_ON, works), 0);
    assert_int_equal(run(SANDBOX_ON, makes_code), 0);
    assert_int_equal(run(SANDBOX_ON, names_a_link_local_address), 0);
    int status = run(SANDBOX_ON, aborts);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void all_else_ends_the_process(void **state)
{
    (void)state;
    skip_if_sanitized();
    static int (*const bodies[])(void) = {
        becomes_two,         opens_a_packet_socket, sends_a_signal_to_its_parent,
        may_be_dumped_again, asks_for_a_priority,   a_thread_asks_for_a_priority};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        expect_killed(SANDBOX_ON, bodies[i]);
        assert_non_null(strstr(said, "sandbox: system call "));
    }
    assert_non_null(strstr(said, "(ioprio_get) is not on the list"));
}

static void programs_and_other_processes_are_out_of_reach_in_every_mode(void **state)
{
    (void)state;
    skip_if_sanitized();
    expect_killed(SANDBOX_ON, runs_a_program);
    assert_string_equal(said, ""); // by the kernel itself
    expect_killed(SANDBOX_ON, traces);
    expect_killed(SANDBOX_LOG, runs_a_program);
    expect_killed(SANDBOX_LOG, traces);
}

static void log_lets_the_rest_run(void **state)
{
    (void)state;
    skip_if_sanitized();
    assert_int_equal(run(SANDBOX_LOG, asks_for_a_priority), 0);
}

static void off_is_off(void **state)
{
    (void)state;
    int status = run(SANDBOX_OFF, works);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == NOT_APPLIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_servers_do_works),
        cmocka_unit_test(all_else_ends_the_process),
        cmocka_unit_test(programs_and_other_processes_are_out_of_reach_in_every_mode),
        cmocka_unit_test(log_lets_the_rest_run),
        cmocka_unit_test(off_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
