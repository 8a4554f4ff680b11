#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/net.h"
#include "test_dir.h"

static char *format(const struct net_addr *addr, char buf[static NET_ADDR_TEXT])
{
    return net_addr_format((const struct sockaddr *)&addr->ss, addr->len, buf);
}

// Text to address and back.
static void addresses_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *back;
    } cases[] = {
        {"127.0.0.1:8443", "127.0.0.1:8443"},
        {"0.0.0.0:0", "0.0.0.0:0"},
        {"[::1]:8443", "[::1]:8443"},
        {"[::]:65535", "[::]:65535"},
        {"[2001:db8::1]:1", "[2001:db8::1]:1"},
        {"*:8443", "[::]:8443"},
        {"[::ffff:10.0.0.1]:5", "10.0.0.1:5"},
        {"localhost:80", "127.0.0.1:80"},
        {"unix:/run/x.sock", "unix:/run/x.sock"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_addr addr;
        struct error e = {{0}};
        char buf[NET_ADDR_TEXT];
        assert_true(net_addr_parse(cases[i].text, &addr, &e));
        assert_string_equal(format(&addr, buf), cases[i].back);
    }
}

// Who can reach an address.
static void loopback_is_told_from_the_rest(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool loopback;
    } cases[] = {
        {"127.0.0.1:1", true},
        {"127.255.0.9:1", true},
        {"[::1]:1", true},
        {"unix:/run/x.sock", true},
        {"[::ffff:127.0.0.1]:1", true},
        {"0.0.0.0:1", false},
        {"*:1", false},
        {"[::]:1", false},
        {"10.0.0.1:1", false},
        {"128.0.0.1:1", false},
        {"[fe80::1]:1", false},
        {"[::ffff:10.0.0.1]:1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_addr addr;
        assert_true(net_addr_parse(cases[i].text, &addr, NULL));
        assert_int_equal(net_addr_is_loopback(&addr), cases[i].loopback);
    }
}

static void bad_addresses_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",      ":80",    "127.0.0.1",    "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
        "h:80x", "::1:80", "[::1]",        "[::1",       "[::1]80",         "[]:80",
        "unix:", "a b:80", "127.0.0.1: 1", "*",          "h:000080",        "256.1.1.1.invalid:1"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_addr addr;
        struct error e = {{0}};
        assert_false(net_addr_parse(cases[i], &addr, &e));
        assert_true(e.text[0] != '\0');
        assert_int_equal(strncmp(e.text, cases[i], strlen(cases[i])),
                         0); // the message starts with what it is about
        assert_false(net_addr_parse(cases[i], &addr, NULL));
    }
    char path[200] = "unix:/";
    memset(path + 6, 'x', 150);
    struct net_addr addr;
    assert_false(net_addr_parse(path, &addr, NULL));
}

// A long text may be cut in the message, the option's name never.
static void the_address_of_an_option_is_named(void **state)
{
    (void)state;
    char longest[600];
    struct net_addr addr, plain;
    struct error e = {{0}};
    assert_true(net_addr_parse_option("listen", "127.0.0.1:8443", &addr, &e));
    assert_true(net_addr_parse("127.0.0.1:8443", &plain, NULL));
    assert_int_equal(addr.len, plain.len);
    assert_memory_equal(&addr.ss, &plain.ss, plain.len);
    assert_true(net_addr_parse_option("admin", NULL, &addr, &e));
    assert_int_equal(addr.len, 0);
    assert_string_equal(e.text, "");

    assert_false(net_addr_parse_option("admin", "127.0.0.1:65536", &addr, &e));
    assert_string_equal(e.text, "--admin: 127.0.0.1:65536: port: found \"65536\", expected 0 to 65535");
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_false(net_addr_parse_option("listen", longest, &addr, &e));
    assert_int_equal(strncmp(e.text, "--listen: xxx", strlen("--listen: xxx")), 0);
    assert_false(net_addr_parse_option("listen", "", &addr, NULL));
}

static struct net_addr parse(const char *text)
{
    struct net_addr addr;
    assert_true(net_addr_parse(text, &addr, NULL));
    return addr;
}

// Listens, connects, and passes a byte; gives the flags that the header promises.
static void talk(const char *text)
{
    struct net_addr addr = parse(text), bound;
    struct error e = {{0}};
    int server = net_listen(&addr, 16, &bound, &e);
    assert_string_equal(e.text, "");
    assert_true(server >= 0);
    assert_true((fcntl(server, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(server, F_GETFD) & FD_CLOEXEC) != 0);

    int client = net_connect(&bound, 2000, &e);
    assert_true(client >= 0);
    assert_int_equal(fcntl(client, F_GETFL) & O_NONBLOCK, 0);
    assert_true((fcntl(client, F_GETFD) & FD_CLOEXEC) != 0);
    if (bound.ss.ss_family != AF_UNIX) {
        int on = 0;
        socklen_t len = sizeof on;
        assert_int_equal(getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
        assert_true(on != 0);
    }
    int peer = accept(server, NULL, NULL);
    assert_true(peer >= 0);
    char byte = 'x';
    assert_int_equal(write(client, &byte, 1), 1);
    assert_int_equal(read(peer, &byte, 1), 1);
    (void)close(peer);
    (void)close(client);
    (void)close(server);
}

static void tcp_listens_and_connects(void **state)
{
    (void)state;
    talk("127.0.0.1:0");
}

// "*" takes IPv4 clients as well, and their address prints as an IPv4 address.
static void any_address_takes_ipv4(void **state)
{
    (void)state;
    struct net_addr addr = parse("*:0"), bound, peer = {.len = sizeof peer.ss};
    char text[NET_ADDR_TEXT];
    int server = net_listen(&addr, 16, &bound, NULL);
    assert_true(server >= 0);
    const char *port = strrchr(format(&bound, text), ':');
    char loopback[40];
    (void)snprintf(loopback, sizeof loopback, "127.0.0.1%s", port);
    struct net_addr target = parse(loopback);
    int client = net_connect(&target, 2000, NULL);
    assert_true(client >= 0);
    int accepted = accept(server, (struct sockaddr *)&peer.ss, &peer.len);
    assert_true(accepted >= 0);
    assert_int_equal(strncmp(format(&peer, text), "127.0.0.1:", 10), 0);
    (void)close(accepted);
    (void)close(client);
    (void)close(server);
}

static void an_address_in_use_is_an_error(void **state)
{
    (void)state;
    struct net_addr addr = parse("127.0.0.1:0"), bound;
    struct error e = {{0}};
    int first = net_listen(&addr, 16, &bound, NULL);
    assert_true(first >= 0);
    assert_int_equal(net_listen(&bound, 16, NULL, &e), -1);
    assert_non_null(strstr(e.text, ": listen: the address is in use"));
    (void)close(first);
    // And nobody listens there now.
    assert_int_equal(net_connect(&bound, 2000, &e), -1);
    assert_non_null(strstr(e.text, ": connect: Connection refused"));
}

// Only the owner may connect; a socket left by a dead process is replaced, a live one and any other file are
// not.
static void unix_sockets_are_private_and_replaced(void **state)
{
    (void)state;
    char text[300];
    const char *path = test_dir_path("control.sock");
    (void)snprintf(text, sizeof text, "unix:%s", path);
    mode_t before = umask(0);
    talk(text);
    (void)umask(before);
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    talk(text); // the file is still there, dead
    struct net_addr addr = parse(text), bound;
    struct error e = {{0}};
    int live = net_listen(&addr, 16, &bound, NULL);
    assert_true(live >= 0);
    char back[NET_ADDR_TEXT];
    assert_string_equal(format(&bound, back), text);
    assert_int_equal(net_listen(&addr, 16, NULL, &e), -1);
    assert_non_null(strstr(e.text, "the address is in use"));
    int client = net_connect(&addr, 2000, &e); // the refused attempt did not harm it
    assert_true(client >= 0);
    (void)close(client);
    (void)close(live);

    const char *file = test_dir_write("plain", "not a socket");
    (void)snprintf(text, sizeof text, "unix:%s", file);
    addr = parse(text);
    assert_int_equal(net_listen(&addr, 16, NULL, &e), -1);
    assert_int_equal(access(file, F_OK), 0);
}

// A peer that does not accept does not hold the caller longer than asked: a Unix socket with a full backlog.
static void connecting_times_out(void **state)
{
    (void)state;
    char text[300];
    (void)snprintf(text, sizeof text, "unix:%s", test_dir_path("full.sock"));
    struct net_addr addr = parse(text);
    int server = net_listen(&addr, 0, NULL, NULL);
    assert_true(server >= 0);
    int clients[8], count = 0;
    struct error e = {{0}};
    while (count < 8 && (clients[count] = net_connect(&addr, 50, &e)) >= 0)
        count++;
    assert_true(count < 8);
    assert_non_null(strstr(e.text, "Connection timed out"));
    while (count > 0)
        (void)close(clients[--count]);
    (void)close(server);
}

static void unnamed_and_abstract_sockets_have_a_text(void **state)
{
    (void)state;
    char buf[NET_ADDR_TEXT];
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    assert_string_equal(net_addr_format((struct sockaddr *)&un, offsetof(struct sockaddr_un, sun_path), buf),
                        "unix:");
    memcpy(un.sun_path, "\0name", 5);
    assert_string_equal(
        net_addr_format((struct sockaddr *)&un, offsetof(struct sockaddr_un, sun_path) + 5, buf),
        "unix:@name");
    // A peer gives its socket any name; logs have it in quotes.
    struct sockaddr_un hostile = {.sun_family = AF_UNIX, .sun_path = "a\"b\\c\nd e"};
    assert_string_equal(
        net_addr_format((const struct sockaddr *)&hostile, sizeof hostile.sun_family + 9, buf),
        "unix:a?b?c?d?e");
}

static void urls_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *both;
    } cases[] = {
        {"https://keys.example:8443", "keys.example", "keys.example:8443"},
        {"https://keys.example", "keys.example", "keys.example:443"},
        {"HTTPS://10.0.0.1:1/", "10.0.0.1", "10.0.0.1:1"},
        {"https://[::1]:8443/", "::1", "[::1]:8443"},
        {"https://[::1]", "::1", "[::1]:443"},
    };
    char host[64], both[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(net_url_parse(cases[i].url, host, sizeof host, both, sizeof both, NULL));
        assert_string_equal(host, cases[i].host);
        assert_string_equal(both, cases[i].both);
    }
    static const char *const bad[] = {"",
                                      "http://h:1",
                                      "https://",
                                      "https://:1",
                                      "https:///",
                                      "h:1",
                                      "https://h:",
                                      "https://h:0",
                                      "https://h:99999",
                                      "https://a@h:1",
                                      "https://h/ski",
                                      "https://h?x",
                                      "https://::1",
                                      "https://h\r\nX:1",
                                      "https://[::1]x",
                                      "https://h:1//"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error e = {{0}};
        assert_false(net_url_parse(bad[i], host, sizeof host, both, sizeof both, &e));
        assert_true(e.text[0] != '\0');
    }
    assert_false(
        net_url_parse("https://keys.example", host, 12, both, sizeof both, NULL)); // no room for the NUL
    assert_false(net_url_parse("https://keys.example", host, sizeof host, both, 16, NULL));
    assert_true(net_url_parse("https://keys.example", host, 13, both, 17, NULL));
}

static int set_up(void **state)
{
    (void)state;
    (void)test_dir_create();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_dir_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_parsed),
        cmocka_unit_test(loopback_is_told_from_the_rest),
        cmocka_unit_test(bad_addresses_are_refused),
        cmocka_unit_test(the_address_of_an_option_is_named),
        cmocka_unit_test(tcp_listens_and_connects),
        cmocka_unit_test(any_address_takes_ipv4),
        cmocka_unit_test(an_address_in_use_is_an_error),
        cmocka_unit_test(unix_sockets_are_private_and_replaced),
        cmocka_unit_test(connecting_times_out),
        cmocka_unit_test(unnamed_and_abstract_sockets_have_a_text),
        cmocka_unit_test(urls_are_split),
    };
    return cmocka_run_group_tests_name("net", tests, set_up, tear_down);
}
