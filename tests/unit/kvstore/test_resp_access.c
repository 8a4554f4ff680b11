// Passwords: who is let in, what those who are not may do, where the password comes from, what is kept of it. ACL.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvstore/resp/access.h"
#include "tests/unit/kvstore/resp_kit.h"

#define NOAUTH    "-NOAUTH Authentication required.\r\n"
#define WRONGPASS "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
#define NO_PASSWORD                                                                                          \
    "-ERR AUTH <password> called without any password configured for the default user. Are you sure your "   \
    "configuration is correct?\r\n"

static enum resp_access_status set_password(const char *text)
{
    return resp_access_set_password(&kit.shared.access, text, strlen(text));
}

// As a connection that comes now.
static void come_anew(void)
{
    resp_session_reset(&kit.session);
}

static void without_a_password(void **state)
{
    (void)state;
    EXPECT("auth foo", NO_PASSWORD);
    EXPECT("auth default", NO_PASSWORD);
    EXPECT("auth default whatever", OK);
    EXPECT("auth nobody whatever", WRONGPASS);
    EXPECT("auth a b c", "-ERR syntax error\r\n");
    EXPECT("auth", "-ERR wrong number of arguments for 'auth' command\r\n");
    EXPECT("acl list", "*1\r\n$34\r\nuser default on nopass ~* &* +@all\r\n");
}

// Proves: unknown commands and wrong numbers of arguments are told to strangers, nothing else; AUTH lets in, a wrong one does not put out, RESET does.
static void the_gate(void **state)
{
    (void)state;
    assert_int_equal(set_password("secret"), RESP_ACCESS_OK);
    EXPECT("ping", "+PONG\r\n"); // came when there was none
    come_anew();
    EXPECT("ping", NOAUTH);
    EXPECT("set a 1", NOAUTH);
    EXPECT("client id", NOAUTH);
    EXPECT("command count", NOAUTH);
    EXPECT("nope", "-ERR unknown command 'nope', with args beginning with: \r\n");
    EXPECT("get", "-ERR wrong number of arguments for 'get' command\r\n");
    EXPECT("auth wrong", WRONGPASS);
    EXPECT("auth default wrong", WRONGPASS);
    EXPECT("auth nobody secret", WRONGPASS);
    EXPECT("auth secre", WRONGPASS);
    EXPECT("auth secret2", WRONGPASS);
    EXPECT("ping", NOAUTH);
    EXPECT("auth secret", OK);
    EXPECT("set a 1", OK);
    EXPECT("auth wrong", WRONGPASS);
    EXPECT("get a", "$1\r\n1\r\n");
    EXPECT("reset", "+RESET\r\n");
    EXPECT("get a", NOAUTH);
    EXPECT("auth default secret", OK);
    EXPECT("get a", "$1\r\n1\r\n");
    EXPECT("quit", OK);
}

static void hello(void **state)
{
    (void)state;
    assert_int_equal(set_password("secret"), RESP_ACCESS_OK);
    come_anew();
    EXPECT("hello 4", "-NOPROTO unsupported protocol version\r\n");
    EXPECT("hello 3", "-NOAUTH HELLO must be called with the client already authenticated, otherwise the "
                      "HELLO <proto> AUTH "
                      "<user> <pass> option can be used to authenticate the client and select the RESP "
                      "protocol version at the "
                      "same time\r\n");
    EXPECT("hello 3 auth default wrong", WRONGPASS);
    EXPECT("hello 3 auth default", "-ERR Syntax error in HELLO option 'auth'\r\n");
    assert_int_equal(strncmp(resp_kit_run("hello 3 auth default secret setname me"), "%7\r\n", 4), 0);
    EXPECT("client getname", "$2\r\nme\r\n");
}

static uint64_t wrong(void)
{
    return atomic_load(&kit.shared.counters.wrong_passwords);
}

// Proves: ten wrong passwords end a stranger's connection, by AUTH or HELLO, RESET or not; nobody else's; the right one begins the count anew.
static void guessing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * RESP_PASSWORD_TRIES; i++) // there is no password: no stranger
        EXPECT("auth nobody x", WRONGPASS);
    assert_int_equal(wrong(), 0);
    assert_int_equal(set_password("secret"), RESP_ACCESS_OK);
    come_anew();
    for (unsigned i = 1; i < RESP_PASSWORD_TRIES; i++)
        EXPECT(i % 2 != 0 ? "auth x" : "hello 3 auth default x", WRONGPASS);
    EXPECT("ping", NOAUTH);
    assert_false(kit.session.close_after);
    EXPECT("auth secret", OK);
    for (unsigned i = 0; i < 2 * RESP_PASSWORD_TRIES; i++) // known already
        EXPECT("auth x", WRONGPASS);
    assert_int_equal(wrong(), RESP_PASSWORD_TRIES - 1);
    EXPECT("reset", "+RESET\r\n");
    for (unsigned i = 1; i < RESP_PASSWORD_TRIES; i++) {
        EXPECT("auth x", WRONGPASS);
        EXPECT("reset", "+RESET\r\n");
    }
    assert_false(kit.session.close_after);
    assert_int_equal(atomic_load(&kit.shared.counters.guessers_closed), 0);
    EXPECT("auth x\r\nauth secret\r\nget a", WRONGPASS); // what comes behind is not run
    assert_true(kit.session.close_after);
    assert_int_equal(atomic_load(&kit.shared.counters.guessers_closed), 1);
    assert_int_equal(wrong(), 2 * RESP_PASSWORD_TRIES - 1);
    kit.session.close_after = false;
    kit.session.manners.wrong_passwords = 0;
}

// Proves: a loop does not wait for the answer to who may be guessing; what it hands to a worker is counted once.
static void guessing_on_a_loop(void **state)
{
    const struct resp_arg args[] = {{(const uint8_t *)"auth", 4}, {(const uint8_t *)"x", 1}};
    (void)state;
    assert_int_equal(set_password("secret"), RESP_ACCESS_OK);
    come_anew();
    for (unsigned i = 0; i < RESP_PASSWORD_FREE_TRIES; i++)
        assert_int_equal(resp_command_run(&kit.session, &kit.reply, args, 2, false), RESP_RUN_DONE);
    assert_int_equal(wrong(), RESP_PASSWORD_FREE_TRIES);
    assert_int_equal(resp_command_run(&kit.session, &kit.reply, args, 2, false), RESP_RUN_AGAIN);
    assert_int_equal(wrong(), RESP_PASSWORD_FREE_TRIES);
    assert_int_equal(resp_command_run(&kit.session, &kit.reply, args, 2, true), RESP_RUN_DONE);
    assert_int_equal(wrong(), RESP_PASSWORD_FREE_TRIES + 1);
    atomic_store(&kit.shared.access.delaying, true); // another one's answer is delayed: not this one, too
    assert_int_equal(resp_command_run(&kit.session, &kit.reply, args, 2, true), RESP_RUN_DONE);
    assert_true(atomic_load(&kit.shared.access.delaying));
}

// Proves: strangers send small commands only.
static void limits_for_strangers(void **state)
{
    (void)state;
    kit.parser.limits.unauthenticated = true;
    EXPECT("*10\r\n$4\r\nping\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$"
           "1\r\na\r\n$1\r\n"
           "a\r\n$1\r\na",
           "-ERR wrong number of arguments for 'ping' command\r\n");
    struct resp_parser p;
    resp_parser_init(&p, &(struct resp_limits){.unauthenticated = true});
    assert_int_equal(resp_parse(&p, (const uint8_t *)"*11\r\n", 5), RESP_PROTOCOL_ERROR);
    assert_string_equal(p.error, "Protocol error: unauthenticated multibulk length");
    resp_parser_deinit(&p);
    resp_parser_init(&p, &(struct resp_limits){.unauthenticated = true});
    assert_int_equal(resp_parse(&p, (const uint8_t *)"*1\r\n$16385\r\n", 12), RESP_PROTOCOL_ERROR);
    assert_string_equal(p.error, "Protocol error: unauthenticated bulk length");
    resp_parser_deinit(&p);
    resp_parser_init(&p, &(struct resp_limits){.unauthenticated = true});
    assert_int_equal(resp_parse(&p, (const uint8_t *)"*10\r\n$16384\r\n", 13), RESP_NEED_MORE);
    resp_parser_deinit(&p);
}

// Proves: a batch knows when AUTH has let the peer in: what follows may be large.
static void large_behind_auth(void **state)
{
    static const char bytes[] =
        "*2\r\n$4\r\nauth\r\n$6\r\nsecret\r\n*12\r\n$3\r\ndel\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"
        "$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n$1\r\n7\r\n$1\r\n8\r\n$1\r\n9\r\n$1\r\na\r\n$1\r\nb\r\n";
    (void)state;
    assert_int_equal(set_password("secret"), RESP_ACCESS_OK);
    come_anew();
    kit.parser.limits.unauthenticated = true;
    assert_string_equal(resp_kit_run_bytes(bytes, sizeof bytes - 1), OK ":0\r\n");
}

// Proves: nothing of the text is kept; a needed password is not taken away; a changed one holds for who comes later.
static void what_is_kept(void **state)
{
    struct resp_access *access = &kit.shared.access;
    char long_one[RESP_PASSWORD_MAX + 1], first[2 * RESP_DIGEST_BYTES + 1], second[sizeof first];
    (void)state;
    assert_true(resp_access_password_is(access, "any", 3));
    assert_false(resp_access_digest(access, first));
    assert_int_equal(set_password("secret"), RESP_ACCESS_OK);
    assert_true(resp_access_digest(access, first));
    assert_int_equal(set_password("secret"), RESP_ACCESS_OK);
    assert_true(resp_access_digest(access, second));
    assert_string_not_equal(first, second); // salted
    for (size_t i = 0; i + 6 <= sizeof *access; i++)
        assert_memory_not_equal((const char *)access + i, "secret", 6);
    memset(long_one, 'x', sizeof long_one);
    assert_int_equal(resp_access_set_password(access, long_one, sizeof long_one), RESP_ACCESS_TOO_LONG);
    assert_false(resp_access_password_is(access, long_one, sizeof long_one));
    atomic_store(&access->needs_password, true);
    assert_int_equal(set_password(""), RESP_ACCESS_NEEDED);
    assert_true(resp_access_password_is(access, "secret", 6));
    assert_false(resp_access_password_is(access, "", 0));
    come_anew();
    EXPECT("auth secret", OK);
    assert_int_equal(set_password("other"), RESP_ACCESS_OK);
    EXPECT("ping", "+PONG\r\n");
    EXPECT("auth secret", WRONGPASS);
    atomic_store(&access->needs_password, false);
    assert_int_equal(set_password(""), RESP_ACCESS_OK);
    come_anew();
    EXPECT("ping", "+PONG\r\n");
}

static void put_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void password_files(void **state)
{
    struct resp_access *access = &kit.shared.access;
    char dir[] = "/tmp/test_access_XXXXXX", path[64], link[64];
    struct error why;
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/password", dir);
    (void)snprintf(link, sizeof link, "%s/none", dir);
    assert_false(resp_access_load_password(access, link, &why));
    assert_non_null(strstr(why.text, link));
    put_file(path, "first line\r\nsecond\n", 0600);
    assert_true(resp_access_load_password(access, path, &why));
    assert_true(resp_access_password_is(access, "first line", 10));
    const mode_t open_modes[] = {0604, 0602, 0620, 0644, 0666};
    for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
        put_file(path, "other\n", open_modes[i]);
        assert_false(resp_access_load_password(access, path, &why));
        assert_non_null(strstr(why.text, "nobody else"));
        assert_null(strstr(why.text, "other\n"));
    }
    put_file(path, "\nsecond", 0600);
    assert_false(resp_access_load_password(access, path, &why));
    put_file(path, "", 0600);
    assert_false(resp_access_load_password(access, path, &why));
    assert_false(resp_access_load_password(access, dir, &why));
    assert_true(resp_access_password_is(access, "first line", 10)); // all that failed has changed nothing
    put_file(path, "third", 0640);
    assert_true(resp_access_load_password(access, path, &why));
    assert_true(resp_access_password_is(access, "third", 5));
    char text[RESP_PASSWORD_MAX + 3];
    memset(text, 'x', sizeof text);
    text[RESP_PASSWORD_MAX + 1] = '\0';
    put_file(path, text, 0600);
    assert_false(resp_access_load_password(access, path, &why));
    text[RESP_PASSWORD_MAX] = '\n';
    put_file(path, text, 0600);
    assert_true(resp_access_load_password(access, path, &why));
    assert_true(resp_access_password_is(access, text, RESP_PASSWORD_MAX));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void acl(void **state)
{
    (void)state;
    EXPECT("acl whoami", "$7\r\ndefault\r\n");
    EXPECT("acl users", "*1\r\n$7\r\ndefault\r\n");
    EXPECT("acl getuser nobody", NIL);
    EXPECT("acl getuser default",
           "*12\r\n$5\r\nflags\r\n*2\r\n$2\r\non\r\n$6\r\nnopass\r\n$9\r\npasswords\r\n*0\r\n"
           "$8\r\ncommands\r\n$5\r\n+@all\r\n$4\r\nkeys\r\n$2\r\n~*\r\n$8\r\nchannels\r\n"
           "$2\r\n&*\r\n$9\r\nselectors\r\n*0\r\n");
    EXPECT("acl cat nope", "-ERR Unknown category 'nope'\r\n");
    EXPECT("acl cat a b",
           "-ERR unknown subcommand or wrong number of arguments for 'cat'. Try ACL HELP.\r\n");
    assert_int_equal(strncmp(resp_kit_run("acl cat"), "*21\r\n$8\r\nkeyspace\r\n", 17), 0);
    assert_non_null(strstr(resp_kit_run("acl cat STRING"), "$6\r\ngetdel\r\n"));
    assert_null(strstr(resp_kit_run("acl cat string"), "$6\r\nexpire\r\n"));
    assert_int_equal(strlen(resp_kit_run("acl genpass")), strlen("$64\r\n") + 64 + 2);
    assert_int_equal(strlen(resp_kit_run("acl genpass 5")), strlen("$2\r\n") + 2 + 2);
    assert_int_equal(strlen(resp_kit_run("acl genpass 12")), strlen("$3\r\n") + 3 + 2);
    EXPECT("acl genpass x", "-ERR value is not an integer or out of range\r\n");
    assert_non_null(strstr(resp_kit_run("acl genpass 4097"), "-ERR ACL GENPASS argument must be"));
    EXPECT("acl log", "*0\r\n");
    EXPECT("acl log reset", OK);
    EXPECT("acl log x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("acl dryrun default get a", OK);
    EXPECT("acl dryrun default client setname",
           "-ERR wrong number of arguments for 'client|setname' command\r\n");
    EXPECT("acl dryrun default get", "-ERR wrong number of arguments for 'get' command\r\n");
    EXPECT("acl dryrun x get a", "-ERR User 'x' not found\r\n");
    EXPECT("acl dryrun default nope", "-ERR Command 'nope' not found\r\n");
    EXPECT("acl deluser default", "-ERR The 'default' user cannot be removed\r\n");
    EXPECT("acl deluser a b", ":0\r\n");
    assert_int_equal(strncmp(resp_kit_run("acl setuser a on"), "-ERR users cannot be made", 25), 0);
    assert_int_equal(strncmp(resp_kit_run("acl load"), "-ERR there is no ACL file", 25), 0);
    assert_int_equal(set_password("secret"), RESP_ACCESS_OK);
    assert_null(strstr(resp_kit_run("acl list"), "nopass"));
    assert_null(strstr(resp_kit_run("acl getuser default"), "nopass"));
}

// Proves: what the program refuses is refused, also in a transaction, to all but trusted sessions; those need no password, also after RESET.
static void trusted_and_not(void **state)
{
    static const char *const refused[] = {"save", "config|rewrite", "not|there", "get", NULL};
    (void)state;
    kit.shared.refused = refused;
    EXPECT("save", "-NOPERM this user has no permissions to run the 'save' command\r\n");
    EXPECT("SAVE x", "-ERR wrong number of arguments for 'save' command\r\n"); // as Redis: arity first
    EXPECT("config rewrite", "-NOPERM this user has no permissions to run the 'config|rewrite' command\r\n");
    EXPECT("config get port", "*2\r\n$4\r\nport\r\n$1\r\n0\r\n");
    EXPECT("get a", NIL); // no admin command: not looked up
    EXPECT("multi", OK);
    EXPECT("config rewrite", "-NOPERM this user has no permissions to run the 'config|rewrite' command\r\n");
    EXPECT("exec", "-EXECABORT Transaction discarded because of previous errors.\r\n");

    resp_session_trust(&kit.session);
    assert_int_equal(set_password("secret"), RESP_ACCESS_OK);
    EXPECT("save", OK);
    EXPECT("reset", "+RESET\r\n");
    EXPECT("get a", NIL);
    EXPECT("auth wrong", WRONGPASS);
    EXPECT("save", OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_password),
        TEST(the_gate),
        TEST(hello),
        TEST(limits_for_strangers),
        TEST(large_behind_auth),
        TEST(what_is_kept),
        TEST(password_files),
        TEST(acl),
        TEST(trusted_and_not),
        TEST(guessing),
        TEST(guessing_on_a_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
