// What a peer can do to the daemon's sockets: everything in its bounds, and each refusal said before the connection ends.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/net.h"
#include "scaleup/scaleupd_server.h"

#define HELLO_VNF      "{\"type\":\"hello\",\"version\":1,\"role\":\"vnf\",\"vnf\":\"ks1\"}\n"
#define HELLO_OPERATOR "{\"type\":\"hello\",\"version\":1,\"role\":\"operator\"}\n"
#define PING           "{\"type\":\"ping\"}\n"

// ---- an owner that writes down what it hears

static struct {
    bool operators, refuse, strangers, often; // answers
    enum message_error_code code;
    unsigned hellos, messages, gone;
    uint64_t session; // of the last hello
    enum message_type type;
} owner;

static bool is_operator(void *arg, const struct access_peer *peer)
{
    (void)arg;
    return owner.operators && peer->has_user && peer->uid == geteuid();
}

static bool is_known(void *arg, const struct access_peer *peer)
{
    (void)arg;
    return !owner.strangers && peer->has_user;
}

static bool may(void *arg, const struct access_peer *peer, const struct message *hello,
                enum message_error_code *code, struct error *why)
{
    (void)arg;
    (void)peer;
    *code = owner.code;
    error_set(why, "no, %s", hello->role == ROLE_VNF ? hello->vnf : "operator");
    return !owner.refuse;
}

static bool too_often(void *arg, const struct message *hello)
{
    (void)arg;
    return owner.often && hello->role == ROLE_VNF;
}

static void on_hello(void *arg, uint64_t session, const struct message *hello)
{
    (void)arg;
    (void)hello;
    owner.hellos++;
    owner.session = session;
}

static void on_message(void *arg, uint64_t session, const struct message *message)
{
    (void)arg;
    (void)session;
    owner.messages++;
    owner.type = message->type;
}

static void on_gone(void *arg, uint64_t session)
{
    (void)arg;
    (void)session;
    owner.gone++;
}

// ---- a server and clients of it

static char folder[] = "/tmp/mec-session.XXXXXX", address[64];
static struct event_base *base;
static struct scaleupd_server *server;
static struct scaleupd_server_stats stats;

static void start(uint64_t max_connections, uint64_t hello_timeout_ms)
{
    char *items[] = {address};
    const struct config_list listen = {.items = items, .count = 1};
    const struct scaleupd_server_options options = {
        .listen = &listen, .max_connections = max_connections, .hello_timeout_ms = hello_timeout_ms};
    const struct scaleupd_server_events events = {.is_operator = is_operator,
                                                  .is_known = is_known,
                                                  .may = may,
                                                  .too_often = too_often,
                                                  .hello = on_hello,
                                                  .message = on_message,
                                                  .gone = on_gone};
    struct error why;
    memset(&owner, 0, sizeof owner);
    memset(&stats, 0, sizeof stats);
    base = event_base_new();
    assert_non_null(base);
    server = scaleupd_server_create(base, &options, &events, &why);
    if (server == NULL)
        fail_msg("%s", why.text);
}

static void stop(void)
{
    scaleupd_server_destroy(&server);
    assert_null(server);
    event_base_free(base);
    assert_int_equal(access(address + 5, F_OK), -1); // the socket's name goes with it
}

static void turn(void)
{
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
    (void)poll(NULL, 0, 1);
}

// Turns the loop until the condition holds; a minute is for ever.
#define UNTIL(condition)                                                                                     \
    do {                                                                                                     \
        uint64_t end_ns = clock_ns() + 60000000000u;                                                         \
        while (!(condition)) {                                                                               \
            assert_true(clock_ns() < end_ns);                                                                \
            turn();                                                                                          \
        }                                                                                                    \
    } while (0)

static int dial(void)
{
    struct net_addr addr;
    struct error why;
    assert_true(net_addr_parse(address, &addr, &why));
    int fd = net_connect(&addr, 5000, &why);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    uint64_t before = stats.accepted;
    do {
        turn();
        scaleupd_server_get_stats(server, &stats);
    } while (stats.accepted == before);
    return fd;
}

static void say_bytes(int fd, const char *text, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, text + done, len - done);
        if (n > 0)
            done += (size_t)n;
        else if (errno == EPIPE || errno == ECONNRESET)
            return; // it has heard enough
        turn();
    }
}

static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

static char heard[1 << 16];
static size_t heard_len;

static bool end_of(int fd)
{
    ssize_t n = read(fd, heard + heard_len, sizeof heard - 1 - heard_len);
    if (n > 0)
        heard_len += (size_t)n;
    heard[heard_len] = '\0';
    return n == 0 || (n < 0 && errno != EAGAIN);
}

// All that the server says until it closes.
static const char *last_words(int fd)
{
    heard_len = 0;
    UNTIL(end_of(fd));
    (void)close(fd);
    return heard;
}

static bool hears(int fd, const char *text)
{
    (void)end_of(fd);
    return strstr(heard, text) != NULL;
}

static bool has_ended(void)
{
    scaleupd_server_get_stats(server, &stats);
    return stats.connections == 0;
}

#define REFUSED(fd, code)                                                                                    \
    do {                                                                                                     \
        const char *words_ = last_words(fd);                                                                 \
        if (strstr(words_, "\"code\":\"" code "\"") == NULL)                                                 \
            fail_msg("expected %s, heard: %s", code, words_);                                                \
    } while (0)

// ---- tests

static void a_session(void **state)
{
    (void)state;
    start(256, 60000);
    struct stat st;
    assert_int_equal(stat(address + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    int fd = dial();
    for (const char *c = HELLO_VNF; *c != '\0'; c++) // a line may come in as many pieces as it likes
        say_bytes(fd, c, 1);
    UNTIL(owner.hellos == 1);
    say(fd, PING "{\"type\":\"rescale\",\"id\":\"1\",\"target_bytes\":5}\r\n");
    UNTIL(owner.messages == 2);
    assert_int_equal(owner.type, MESSAGE_RESCALE);
    scaleupd_server_send(server, owner.session, &(struct message){.type = MESSAGE_PONG});
    heard_len = 0;
    UNTIL(hears(fd, "{\"type\":\"pong\"}\n"));
    (void)close(fd);
    UNTIL(owner.gone == 1);
    assert_true(has_ended());
    scaleupd_server_send(server, owner.session, &(struct message){.type = MESSAGE_PONG}); // too late: nothing
    scaleupd_server_close(server, owner.session);
    stop();
}

// The owner closes: what was said before arrives, gone() follows.
static void closed_by_owner(void **state)
{
    (void)state;
    start(256, 60000);
    int fd = dial();
    say(fd, HELLO_VNF);
    UNTIL(owner.hellos == 1);
    struct message message = {.type = MESSAGE_ERROR, .code = ERROR_REPLACED};
    scaleupd_server_send(server, owner.session, &message);
    scaleupd_server_close(server, owner.session);
    scaleupd_server_send(server, owner.session, &message); // nothing after the end
    REFUSED(fd, "replaced");
    assert_ptr_equal(strchr(heard, '\n'), heard + heard_len - 1);
    UNTIL(owner.gone == 1);
    stop();
}

static void first_words(void **state)
{
    static const struct {
        const char *text, *code;
    } cases[] = {
        {PING, "unexpected"},
        {"{\"type\":\"later\"}\n", "unexpected"},
        {"\n", "malformed"},
        {"GET / HTTP/1.1\r\n\r\n", "malformed"},
        {"{\"type\":\"hello\"}\n", "malformed"},
        {"{\"type\":\"hello\",\"version\":1,\"role\":\"vnf\",\"vnf\":\"../x\"}\n", "malformed"},
        {"\x16\x03\x01\x02\x01\n", "malformed"},
    };
    (void)state;
    start(256, 60000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = dial();
        char code[64];
        say(fd, cases[i].text);
        (void)snprintf(code, sizeof code, "\"code\":\"%s\"", cases[i].code);
        if (strstr(last_words(fd), code) == NULL)
            fail_msg("case %zu: heard %s", i, heard);
    }
    int fd = dial();
    say_bytes(fd, "{\"type\":\"he\0llo\"}\n", 18);
    REFUSED(fd, "malformed");
    UNTIL(has_ended());
    assert_int_equal(owner.hellos, 0);
    assert_int_equal(owner.gone, 0); // of what its owner never heard of it does not tell
    stop();
}

static void refused_by_owner(void **state)
{
    (void)state;
    start(256, 60000);
    owner.refuse = true;
    owner.code = ERROR_UNKNOWN_VNF;
    int fd = dial();
    say(fd, HELLO_VNF PING);
    REFUSED(fd, "unknown_vnf");
    assert_non_null(strstr(heard, "no, ks1"));
    assert_int_equal(owner.hellos + owner.messages, 0);
    UNTIL(has_ended());
    assert_int_equal(stats.denied, 1);
    stop();
}

static void line_lengths(void **state)
{
    char *line = malloc(MESSAGE_LINE_MAX + 1);
    (void)state;
    assert_non_null(line);
    start(256, 60000);
    // As long as may be: spaces before the end.
    memset(line, ' ', MESSAGE_LINE_MAX);
    memcpy(line, HELLO_VNF, strlen(HELLO_VNF) - 1);
    line[MESSAGE_LINE_MAX - 1] = '\n';
    int fd = dial();
    say_bytes(fd, line, MESSAGE_LINE_MAX);
    UNTIL(owner.hellos == 1);
    // One more.
    line[MESSAGE_LINE_MAX - 1] = ' ';
    line[MESSAGE_LINE_MAX] = '\n';
    say_bytes(fd, line, MESSAGE_LINE_MAX + 1);
    REFUSED(fd, "malformed");
    UNTIL(owner.gone == 1);
    // And without end.
    fd = dial();
    say_bytes(fd, line, MESSAGE_LINE_MAX);
    REFUSED(fd, "malformed");
    UNTIL(has_ended());
    free(line);
    stop();
}

static void no_hello_in_time(void **state)
{
    (void)state;
    start(256, 30);
    int silent = dial(), slow = dial();
    say(slow, "{\"type\":\"hel");
    REFUSED(silent, "timeout");
    REFUSED(slow, "timeout");
    UNTIL(has_ended());
    assert_int_equal(stats.timeouts, 2);
    stop();
}

static void what_is_unexpected_stays(void **state)
{
    (void)state;
    start(256, 60000);
    int fd = dial();
    say(fd, HELLO_VNF HELLO_VNF "{\"type\":\"later\"}\n{\"type\":\"pong\"}\n" PING);
    UNTIL(owner.messages == 1);
    assert_int_equal(owner.hellos, 1);
    heard_len = 0;
    UNTIL(hears(fd, "servers"));
    assert_non_null(strstr(heard, "hello has been said"));
    assert_non_null(strstr(heard, "not known"));
    say(fd, "{\"type\":\"ping\",\"type\":\"ping\"}\n");
    REFUSED(fd, "malformed");
    UNTIL(owner.gone == 1);
    stop();
}

// 300 messages at once: 200 go through, the others wait for their time. None is lost.
static void too_many_messages(void **state)
{
    (void)state;
    start(256, 60000);
    uint64_t began_ns = clock_ns();
    int fd = dial();
    say(fd, HELLO_VNF);
    for (int i = 0; i < 300; i++)
        say(fd, PING);
    UNTIL(owner.messages == 300);
    assert_true(clock_ns() - began_ns >= 900000000u);
    scaleupd_server_get_stats(server, &stats);
    assert_int_not_equal(stats.throttled, 0);
    (void)close(fd);
    UNTIL(owner.gone == 1);
    stop();
}

// A rescale counts for ten: 30 at once take a second.
static void too_many_rescales(void **state)
{
    (void)state;
    start(256, 60000);
    uint64_t began_ns = clock_ns();
    int fd = dial();
    say(fd, HELLO_VNF);
    for (int i = 0; i < 30; i++)
        say(fd, "{\"type\":\"rescale\",\"id\":\"1\",\"target_bytes\":5}\n");
    UNTIL(owner.messages == 30);
    assert_true(clock_ns() - began_ns >= 800000000u);
    (void)close(fd);
    UNTIL(owner.gone == 1);
    stop();
}

static void too_many_hellos(void **state)
{
    (void)state;
    start(256, 60000);
    owner.often = true;
    int fd = dial();
    say(fd, HELLO_VNF);
    REFUSED(fd, "busy");
    assert_int_equal(owner.hellos, 0);
    UNTIL(has_ended());
    assert_int_equal(stats.busy, 1);
    stop();
}

// A peer that asks and does not read is not read from; one that is told much and does not read is dropped.
static void peer_that_does_not_read(void **state)
{
    struct message status = {.type = MESSAGE_STATUS, .granularity = 1, .vnf_count = 200};
    (void)state;
    start(256, 60000);
    status.vnfs = calloc(status.vnf_count, sizeof *status.vnfs);
    assert_non_null(status.vnfs);
    for (size_t i = 0; i < status.vnf_count; i++) {
        (void)strcpy(status.vnfs[i].vnf, "ks1");
        (void)strcpy(status.vnfs[i].backend, "simulated");
        (void)strcpy(status.vnfs[i].change, "none");
    }
    int fd = dial();
    say(fd, HELLO_OPERATOR);
    UNTIL(owner.hellos == 1);
    for (int i = 0; i < 100 && owner.gone == 0; i++) {
        scaleupd_server_send(server, owner.session, &status);
        turn();
    }
    UNTIL(owner.gone == 1);
    scaleupd_server_get_stats(server, &stats);
    assert_int_equal(stats.overflows, 1);
    (void)close(fd);
    message_release(&status);
    stop();
}

static void places_for_operators(void **state)
{
    int plain[8], operators[8];
    (void)state;
    start(16, 60000);
    for (int i = 0; i < 8; i++)
        say(plain[i] = dial(), HELLO_VNF);
    UNTIL(owner.hellos == 8);
    REFUSED(dial(), "busy");
    owner.operators = true;
    // Who may be an operator and says that it is a VNF has no better place than others.
    int fd = dial();
    say(fd, HELLO_VNF);
    REFUSED(fd, "busy");
    UNTIL((scaleupd_server_get_stats(server, &stats), stats.connections == 8));
    for (int i = 0; i < 8; i++)
        say(operators[i] = dial(), HELLO_OPERATOR);
    UNTIL(owner.hellos == 16);
    REFUSED(dial(), "busy");
    (void)close(operators[0]);
    UNTIL(owner.gone == 1);
    say(operators[0] = dial(), HELLO_OPERATOR);
    UNTIL(owner.hellos == 17);
    for (int i = 0; i < 8; i++) {
        (void)close(plain[i]);
        (void)close(operators[i]);
    }
    UNTIL(has_ended());
    stop();
}

// Connections that say nothing do not keep an operator out: the oldest of them makes room.
static void silent_ones_make_room(void **state)
{
    int plain[8], operators[8];
    (void)state;
    start(16, 60000);
    for (int i = 0; i < 8; i++)
        plain[i] = dial();
    owner.operators = true;
    for (int i = 0; i < 8; i++)
        say(operators[i] = dial(), HELLO_OPERATOR);
    UNTIL(owner.hellos == 8);
    int one_more = dial();
    say(one_more, HELLO_OPERATOR);
    UNTIL(owner.hellos == 9);
    heard_len = 0;
    UNTIL(end_of(plain[0]));
    assert_false(end_of(plain[1]));
    (void)close(one_more);
    for (int i = 0; i < 8; i++) {
        (void)close(plain[i]);
        (void)close(operators[i]);
    }
    UNTIL(has_ended());
    stop();
}

// Nor do they keep a VNF out, whether those that said nothing are known or not.
static void silent_ones_do_not_lock_out(void **state)
{
    int silent[12];
    (void)state;
    start(16, 60000);
    for (int i = 0; i < 8; i++)
        silent[i] = dial();
    int vnf = dial();
    say(vnf, HELLO_VNF);
    UNTIL(owner.hellos == 1);
    REFUSED(silent[0], "busy");
    scaleupd_server_get_stats(server, &stats);
    assert_int_equal(stats.busy, 1);
    owner.strangers = true;
    for (int i = 8; i < 12; i++) {
        silent[i] = dial();
        REFUSED(silent[i], "denied");
    }
    assert_false(end_of(silent[1])); // strangers take nobody's place
    scaleupd_server_get_stats(server, &stats);
    assert_int_equal(stats.denied, 4);
    assert_int_equal(stats.busy, 1);
    (void)close(vnf);
    for (int i = 1; i < 8; i++)
        (void)close(silent[i]);
    UNTIL(has_ended());
    stop();
}

static void rights_taken_away(void **state)
{
    (void)state;
    start(256, 60000);
    int fd = dial();
    say(fd, HELLO_VNF);
    UNTIL(owner.hellos == 1);
    scaleupd_server_recheck(server);
    say(fd, PING);
    UNTIL(owner.messages == 1); // still there
    owner.refuse = true;
    owner.code = ERROR_DENIED;
    scaleupd_server_recheck(server);
    REFUSED(fd, "denied");
    UNTIL(owner.gone == 1);
    stop();
}

// Sent and shut: the answers still come.
static void half_closed(void **state)
{
    (void)state;
    start(256, 60000);
    int fd = dial();
    say(fd, HELLO_VNF "{\"type\":\"later\"}\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_non_null(strstr(last_words(fd), "unexpected"));
    UNTIL(owner.gone == 1);
    stop();
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(address, sizeof address, "unix:%s/s", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session),
        cmocka_unit_test(closed_by_owner),
        cmocka_unit_test(first_words),
        cmocka_unit_test(refused_by_owner),
        cmocka_unit_test(line_lengths),
        cmocka_unit_test(no_hello_in_time),
        cmocka_unit_test(what_is_unexpected_stays),
        cmocka_unit_test(too_many_messages),
        cmocka_unit_test(too_many_rescales),
        cmocka_unit_test(too_many_hellos),
        cmocka_unit_test(peer_that_does_not_read),
        cmocka_unit_test(places_for_operators),
        cmocka_unit_test(silent_ones_make_room),
        cmocka_unit_test(silent_ones_do_not_lock_out),
        cmocka_unit_test(rights_taken_away),
        cmocka_unit_test(half_closed),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
