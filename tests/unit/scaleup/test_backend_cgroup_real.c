// The cgroup back-end on a real group of this kernel, version 1 or 2, with a process in it that holds memory. Needs a memory controller that may be written (root, or a delegated
// group); without one every test is skipped, and says so.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend_kit.h"
#include "scaleup/cgroup_files.h"
#include "tests/unit/common/test_dir.h"

#define MB 1048576ull
// A sanitizer's own memory comes on top of what the child holds.
#define HELD (96 * MB)

static char group[CGROUP_PATH_MAX];
static enum cgroup_version version;
static struct kit kit;
static pid_t child;
static int to_child, from_child;

static bool put(const char *folder, const char *file, const char *text)
{
    char name[CGROUP_PATH_MAX + 64];
    (void)snprintf(name, sizeof name, "%s/%s", folder, file);
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        (void)close(fd);
    return good;
}

// A group of ours below `parent`, with the memory controller.
static bool try_parent(const char *parent)
{
    (void)snprintf(group, sizeof group, "%s/mec-test-%d", parent, (int)getpid());
    if (mkdir(group, 0755) != 0)
        return false;
    version = cgroup_find(group, NULL);
    if (version == CGROUP_NONE && put(parent, "cgroup.subtree_control", "+memory"))
        version = cgroup_find(group, NULL);
    if (version != CGROUP_NONE)
        return true;
    (void)rmdir(group);
    return false;
}

// The folder of the hierarchy that has our memory controller: as the kernel says, else its root.
static bool find_parent(void)
{
    char line[1024], parent[CGROUP_PATH_MAX / 2];
    bool found = false;
    FILE *in = fopen("/proc/self/cgroup", "re");
    while (in && !found && fgets(line, sizeof line, in)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        bool unified = controllers[1] == '\0';
        if (!unified && strcmp(controllers + 1, "memory") != 0)
            continue;
        (void)snprintf(parent, sizeof parent, "/sys/fs/cgroup%s%s", unified ? "" : "/memory",
                       strcmp(path, "/") == 0 ? "" : path);
        found = try_parent(parent);
    }
    if (in)
        (void)fclose(in);
    return found || try_parent("/sys/fs/cgroup/memory") || try_parent("/sys/fs/cgroup");
}

// Makes the pages its own, without a sanitizer's shadow of them, which would be several times as large.
__attribute__((no_sanitize("thread"))) static void touch(volatile char *memory, size_t len)
{
    for (size_t i = 0; i < len; i += 4096)
        memory[i] = 1;
}

static void hold(int commands, int answers, const char *file)
{
    static char *held;
    char command;
    while (read(commands, &command, 1) == 1) {
        if (command == 'h') { // hold memory
            held = mmap(NULL, HELD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            touch(held, HELD);
        } else if (command == 'f') { // free it
            (void)munmap(held, HELD);
        } else if (command == 'c') { // fill the page cache
            static char block[MB];
            int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
            memset(block, 2, sizeof block);
            for (unsigned i = 0; i < 200; i++)
                if (write(fd, block, sizeof block) != (ssize_t)sizeof block)
                    command = '!';
            (void)fsync(fd);
            (void)close(fd);
        }
        if (write(answers, &command, 1) != 1)
            break;
    }
    _exit(0);
}

static void ask(char command)
{
    char answer = 0;
    assert_int_equal(write(to_child, &command, 1), 1);
    assert_int_equal(read(from_child, &answer, 1), 1); // 0: it has been killed
    assert_int_equal(answer, command);
}

static void start_child(void)
{
    int there[2], back[2];
    char pid[32];
    const char *file = test_dir_path("cache");
    assert_int_equal(pipe2(there, O_CLOEXEC), 0);
    assert_int_equal(pipe2(back, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(there[1]);
        (void)close(back[0]);
        hold(there[0], back[1], file);
    }
    (void)close(there[0]);
    (void)close(back[1]);
    to_child = there[1];
    from_child = back[0];
    (void)snprintf(pid, sizeof pid, "%d", (int)child);
    assert_true(put(group, "cgroup.procs", pid));
}

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)test_dir_create();
    group[0] = '\0';
    if (!find_parent()) {
        group[0] = '\0';
        return 0;
    }
    start_child();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (group[0]) {
        (void)close(to_child);
        (void)close(from_child);
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
        (void)put(group, "memory.force_empty", "0");
        for (int i = 0; i < 500 && rmdir(group) != 0 && errno == EBUSY; i++)
            (void)usleep(10000);
    }
    test_dir_remove();
    return 0;
}

static void need_group(void)
{
    if (group[0])
        return;
    (void)fprintf(
        stderr, "SKIPPED: no memory control group can be made here (run as root, or in a delegated group)\n");
    skip();
}

static void open_group(const char *more)
{
    char settings[CGROUP_PATH_MAX + 128];
    (void)snprintf(settings, sizeof settings, "path=%s poll=20ms %s", group, more);
    kit_open(&kit, &backend_cgroup, 2 * MB, settings);
}

static uint64_t limit_now(void)
{
    struct cgroup_reading r;
    struct error e;
    assert_true(cgroup_read(group, version, &r, &e));
    return r.limit_bytes;
}

// The whole story: no limit, a limit, more, and less only as far as nobody is hurt; when the memory has been given back, all the way.
static void limits_follow_and_nobody_is_killed(void **state)
{
    (void)state;
    need_group();
    open_group("");
    assert_non_null(strstr(kit_expect(&kit, BACKEND_CHANGED)->detail, "no limit"));
    assert_int_equal(kit_set(&kit, 256 * MB)->outcome, BACKEND_DONE);
    assert_int_equal(limit_now(), 256 * MB);
    ask('h');
    assert_int_equal(kit_set(&kit, 512 * MB)->outcome, BACKEND_DONE);
    assert_int_equal(limit_now(), 512 * MB);

    const struct backend_report *r = kit_set(&kit, 64 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_in_range(r->used_bytes, HELD, 400 * MB);
    assert_in_range(r->actual_bytes, r->used_bytes, 440 * MB);
    assert_int_equal(r->actual_bytes, limit_now());
    assert_int_equal(r->actual_bytes % (2 * MB), 0);
    ask('?'); // it lives

    ask('f');
    r = kit_set(&kit, 64 * MB);
    assert_int_equal(r->outcome, BACKEND_DONE);
    assert_int_equal(limit_now(), 64 * MB);
    ask('?');
    kit_close(&kit);
}

// Page cache is no use of its own: it goes, and the limit comes down to the target.
static void cache_gives_way(void **state)
{
    (void)state;
    need_group();
    struct cgroup_reading before;
    struct error e;
    open_group("");
    assert_int_equal(kit_set(&kit, 512 * MB)->outcome, BACKEND_DONE);
    ask('c');
    assert_true(cgroup_read(group, version, &before, &e));
    if (before.droppable_bytes < 150 * MB)
        (void)fprintf(stderr, "note: the test's folder is in memory: no page cache to drop\n");
    const struct backend_report *r = kit_set(&kit, 96 * MB);
    for (int i = 0; i < 50 && r->outcome == BACKEND_PARTIAL && before.droppable_bytes >= 150 * MB; i++) {
        kit_run(&kit, 100); // the kernel's counts of dirty pages lag behind
        r = kit_set(&kit, 96 * MB);
    }
    if (before.droppable_bytes >= 150 * MB)
        assert_int_equal(r->outcome, BACKEND_DONE);
    ask('?');
    kit_close(&kit);
}

// A change from outside is seen; a group that is removed and made again is told about.
static void the_outside_is_seen(void **state)
{
    (void)state;
    need_group();
    open_group("");
    assert_int_equal(kit_set(&kit, 256 * MB)->outcome, BACKEND_DONE);
    assert_int_equal(
        cgroup_write(group, version == CGROUP_V2 ? "memory.max" : "memory.limit_in_bytes", 128 * MB, NULL),
        0);
    for (;;) {
        const struct backend_report *r = kit_expect(&kit, BACKEND_CHANGED);
        if (r->actual_bytes == 128 * MB)
            break;
    }
    kit_close(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(limits_follow_and_nobody_is_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(cache_gives_way, setup, teardown),
        cmocka_unit_test_setup_teardown(the_outside_is_seen, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
