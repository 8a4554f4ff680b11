#include "scaleupd_session_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/net.h"

// ---- an owner that writes down what it hears

struct kit_owner owner;

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

static char folder[] = "/tmp/mec-session.XXXXXX";
char address[64];
static struct event_base *base;
struct scaleupd_server *server;
struct scaleupd_server_stats stats;

void kit_start(uint64_t max_connections, uint64_t hello_timeout_ms)
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

void kit_stop(void)
{
    scaleupd_server_destroy(&server);
    assert_null(server);
    event_base_free(base);
    assert_int_equal(access(address + 5, F_OK), -1); // the socket's name goes with it
}

void kit_turn(void)
{
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
    (void)poll(NULL, 0, 1);
}

int kit_dial(void)
{
    struct net_addr addr;
    struct error why;
    assert_true(net_addr_parse(address, &addr, &why));
    int fd = net_connect(&addr, 5000, &why);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    uint64_t before = stats.accepted;
    do {
        kit_turn();
        scaleupd_server_get_stats(server, &stats);
    } while (stats.accepted == before);
    return fd;
}

void kit_say_bytes(int fd, const char *text, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, text + done, len - done);
        if (n > 0)
            done += (size_t)n;
        else if (errno == EPIPE || errno == ECONNRESET)
            return; // it has heard enough
        kit_turn();
    }
}

void kit_say(int fd, const char *text)
{
    kit_say_bytes(fd, text, strlen(text));
}

char heard[KIT_HEARD];
size_t heard_len;

bool kit_end_of(int fd)
{
    ssize_t n = read(fd, heard + heard_len, sizeof heard - 1 - heard_len);
    if (n > 0)
        heard_len += (size_t)n;
    heard[heard_len] = '\0';
    return n == 0 || (n < 0 && errno != EAGAIN);
}

const char *kit_last_words(int fd)
{
    heard_len = 0;
    UNTIL(kit_end_of(fd));
    (void)close(fd);
    return heard;
}

bool kit_hears(int fd, const char *text)
{
    (void)kit_end_of(fd);
    return strstr(heard, text) != NULL;
}

bool kit_has_ended(void)
{
    scaleupd_server_get_stats(server, &stats);
    return stats.connections == 0;
}

int kit_make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(address, sizeof address, "unix:%s/s", folder);
    return 0;
}

int kit_remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}
