#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/notify.h"

static int manager = -1;
static char said[1024];

// An abstract socket: no file to clean up.
static void begin(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct error e;
    char name[64];
    int len = snprintf(name, sizeof name, "@mec-test-notify-%ld", (long)getpid());
    memcpy(addr.sun_path + 1, name + 1, (size_t)len - 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len);
    assert_int_equal(bind(manager, (const struct sockaddr *)&addr, addr_len), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    assert_true(notify_setup(&e));
    assert_true(notify_wanted());
}

static void end(void)
{
    notify_teardown();
    (void)close(manager);
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

static const char *hear(void)
{
    ssize_t n = recv(manager, said, sizeof said - 1, 0);
    assert_true(n >= 0);
    said[n] = '\0';
    return said;
}

static void messages_are_those_of_sd_notify(void **state)
{
    (void)state;
    begin();
    notify_ready("serving");
    assert_string_equal(hear(), "READY=1\nSTATUS=serving");
    notify_reloading();
    assert_int_equal(strncmp(hear(), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    notify_stopping("draining");
    assert_string_equal(hear(), "STOPPING=1\nSTATUS=draining");
    notify_alive();
    assert_string_equal(hear(), "WATCHDOG=1");
    notify_main_pid(42);
    assert_string_equal(hear(), "MAINPID=42");
    end();
}

// The thread that asks for time begins at once and ends when it is told.
static void long_work_asks_for_time(void **state)
{
    (void)state;
    begin();
    notify_long_begin("opening");
    assert_string_equal(hear(), "STATUS=opening");
    assert_string_equal(hear(), "EXTEND_TIMEOUT_USEC=30000000");
    notify_long_end();
    notify_long_end();
    assert_int_equal(recv(manager, said, sizeof said, MSG_DONTWAIT), -1);
    end();
}

// The watchdog is for the process that it names; a predecessor's counts where there is none.
static void the_watchdog_is_for_one_process(void **state)
{
    (void)state;
    char pid[32];
    assert_int_equal(setenv("WATCHDOG_USEC", "3000000", 1), 0);
    begin();
    assert_int_equal(notify_watchdog_us(), 3000000);
    notify_set_watchdog_us(5);
    assert_int_equal(notify_watchdog_us(), 3000000);
    end();
    assert_int_equal(setenv("WATCHDOG_USEC", "3000000", 1), 0);
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid() + 1);
    assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
    begin();
    assert_int_equal(notify_watchdog_us(), 0);
    notify_set_watchdog_us(5);
    assert_int_equal(notify_watchdog_us(), 5);
    end();
}

// Nobody listens: nothing happens. A variable that is no address is an error.
static void without_a_manager_nothing_happens(void **state)
{
    (void)state;
    struct error e;
    (void)unsetenv("NOTIFY_SOCKET");
    assert_true(notify_setup(&e));
    assert_false(notify_wanted());
    notify_ready("x");
    notify_long_begin("x");
    notify_long_end();
    notify_set_watchdog_us(5);
    assert_int_equal(notify_watchdog_us(), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", "relative", 1), 0);
    assert_false(notify_setup(&e));
    assert_non_null(strstr(e.text, "NOTIFY_SOCKET: found relative"));
    (void)unsetenv("NOTIFY_SOCKET");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_those_of_sd_notify),
        cmocka_unit_test(long_work_asks_for_time),
        cmocka_unit_test(the_watchdog_is_for_one_process),
        cmocka_unit_test(without_a_manager_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
