#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/inherit.h"
#include "common/net.h"

static const char *const names[] = {"ski", "admin", NULL};

static int listening(void)
{
    struct net_addr addr;
    struct error e;
    assert_true(net_addr_parse("127.0.0.1:0", &addr, &e));
    int fd = net_listen(&addr, 1, NULL, &e);
    assert_true(fd >= 0);
    return fd;
}

// Taken by name, once; what is left is closed.
static void sockets_are_taken_by_name(void **state)
{
    (void)state;
    struct inherited set = {.count = 0};
    struct error e;
    int ski = listening(), admin = listening();
    bool keeps = false;
    assert_true(inherit_add(&set, "ski", ski, true, &e));
    assert_true(inherit_add(&set, "admin", admin, false, &e));
    assert_true(inherit_has(&set, "ski"));
    assert_int_equal(inherit_take(&set, "redis", NULL), -1);
    assert_int_equal(inherit_take(&set, "ski", &keeps), ski);
    assert_true(keeps);
    assert_false(inherit_has(&set, "ski"));
    assert_int_equal(inherit_take(&set, "ski", NULL), -1);
    inherit_close(&set);
    assert_int_equal(fcntl(admin, F_GETFD), -1);
    assert_int_equal(close(ski), 0);
    assert_int_equal(inherit_take(NULL, "ski", NULL), -1);
}

// No listening stream socket, a name that is there: refused and closed.
static void others_are_refused(void **state)
{
    (void)state;
    struct inherited set = {.count = 0};
    struct error e;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_false(inherit_add(&set, "ski", pair[0], false, &e));
    assert_non_null(strstr(e.text, "expected a stream socket that listens"));
    assert_false(inherit_add(&set, "ski", open("/dev/null", O_RDONLY), false, &e));
    assert_true(inherit_add(&set, "ski", listening(), false, &e));
    assert_false(inherit_add(&set, "ski", listening(), false, &e));
    assert_non_null(strstr(e.text, "comes twice"));
    (void)close(pair[1]);
    inherit_close(&set);
}

static void set_variables(long pid, const char *count, const char *words)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%ld", pid);
    assert_int_equal(setenv("LISTEN_PID", text, 1), 0);
    assert_int_equal(setenv("LISTEN_FDS", count, 1), 0);
    if (words != NULL)
        assert_int_equal(setenv("LISTEN_FDNAMES", words, 1), 0);
}

// The variables are for one process, and for it once. Descriptors from 3 on.
static void the_manager_is_believed_once(void **state)
{
    (void)state;
    struct inherited set = {.count = 0};
    struct error e;
    set_variables((long)getpid() + 1, "2", "ski:admin");
    assert_true(inherit_from_manager(&set, names, &e));
    assert_int_equal(set.count, 0);
    assert_null(getenv("LISTEN_FDS"));

    int a = listening(), b = listening();
    assert_int_equal(dup2(a, 3), 3);
    assert_int_equal(dup2(b, 4), 4);
    set_variables((long)getpid(), "2", "admin:ski");
    assert_true(inherit_from_manager(&set, names, &e));
    assert_int_equal(inherit_take(&set, "ski", NULL), 4);
    assert_int_equal(inherit_take(&set, "admin", NULL), 3);
    assert_true((fcntl(3, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(3, F_GETFL) & O_NONBLOCK) != 0);
    inherit_close(&set);

    set_variables((long)getpid(), "1", "keyserver.socket"); // one without a name of ours is the first
    assert_true(inherit_from_manager(&set, names, &e));
    assert_int_equal(inherit_take(&set, "ski", NULL), 3);
    set_variables((long)getpid(), "2", "ski:other");
    assert_false(inherit_from_manager(&set, names, &e));
    assert_non_null(strstr(e.text, "\"other\""));
    inherit_close(&set);
    set_variables((long)getpid(), "1000", NULL);
    assert_false(inherit_from_manager(&set, names, &e));
}

int main(void)
{
    // Descriptors 3 and 4 are the test's.
    (void)dup2(0, 3);
    (void)dup2(0, 4);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_are_taken_by_name),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(the_manager_is_believed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
