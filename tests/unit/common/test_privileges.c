// Giving root away, in children: it is gone in every thread, and refusals name what is wrong. As root only.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/privileges.h"

static int run_in_child(int (*body)(void))
{
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int gives_root_away(void)
{
    struct privileges p;
    struct error e = {""};
    if (!privileges_find(&p, "nobody", &e) || !privileges_as_user(&p, &e) || geteuid() == 0)
        return 1;
    if (access("/proc/1/mem", R_OK) == 0 && fopen("/etc/shadow", "re") != NULL)
        return 2;
    if (!privileges_as_root(&p, &e) || geteuid() != 0 || !privileges_as_user(&p, &e))
        return 3;
    if (!privileges_drop(&p, &e))
        return 4;
    return getuid() == p.uid && geteuid() == p.uid && getgid() == p.gid && setuid(0) != 0 &&
                   seteuid(0) != 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
               ? 0
               : 5;
}

// Who is not root cannot become anybody.
static int refuses_without_root(void)
{
    struct privileges p;
    struct error e = {""};
    const struct passwd *nobody = getpwnam("nobody");
    if (nobody == NULL || setresuid(nobody->pw_uid, nobody->pw_uid, nobody->pw_uid) != 0)
        return 1;
    return !privileges_find(&p, "nobody", &e) && strstr(e.text, "only root") != NULL && !p.wanted ? 0 : 2;
}

static void root_is_given_away(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(run_in_child(gives_root_away), 0);
    assert_int_equal(run_in_child(refuses_without_root), 0);
}

static void refusals(void **state)
{
    struct privileges p;
    struct error e = {""};
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_false(privileges_find(&p, "no-such-user-here", &e));
    assert_non_null(strstr(e.text, "no such user"));
    assert_false(privileges_find(&p, "root", &e));
    assert_non_null(strstr(e.text, "another than root"));
}

static void without_a_user_nothing_happens(void **state)
{
    struct privileges p;
    struct error e = {""};
    uid_t before = geteuid();
    (void)state;
    assert_true(privileges_find(&p, NULL, &e));
    assert_true(privileges_as_user(&p, &e) && privileges_as_root(&p, &e) && privileges_drop(&p, &e));
    assert_int_equal(geteuid(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_is_given_away),
        cmocka_unit_test(refusals),
        cmocka_unit_test(without_a_user_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
