#include "scaler_boss.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "scaleup/message.h"

static void say(struct boss *boss, const char *text)
{
    if (boss->peer >= 0)
        (void)send(boss->peer, text, strlen(text), MSG_NOSIGNAL);
}

void boss_say(struct boss *boss, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)pthread_mutex_lock(&boss->lock);
    say(boss, text);
    (void)pthread_mutex_unlock(&boss->lock);
}

static void respond(struct boss *boss, const char *id, const char *state)
{
    char text[512];
    (void)snprintf(
        text, sizeof text,
        "{\"type\":\"response\",\"id\":\"%s\",\"state\":\"%s\",\"final\":%s,\"granted_bytes\":%llu,"
        "\"granularity\":2097152%s}\n",
        id, state, strcmp(state, "accepted") == 0 ? "false" : "true", (unsigned long long)boss->granted,
        strcmp(state, "deferred") == 0 ? ",\"retry_ms\":100" : "");
    say(boss, text);
}

static void rescale_comes(struct boss *boss, const struct message *m)
{
    boss->rescales++;
    boss->last_target = m->target_bytes;
    switch (boss->mood) {
    case BOSS_SILENT:
        break;
    case BOSS_GARBAGE:
        say(boss, "\x01\xff{{{{ not a word of JSON\n");
        break;
    case BOSS_DEFERRING:
        respond(boss, m->id, "deferred");
        break;
    case BOSS_OBEDIENT:
    case BOSS_TWICE:
        respond(boss, m->id, "accepted");
        boss->granted = m->target_bytes;
        respond(boss, m->id, "done");
        if (boss->mood == BOSS_TWICE)
            respond(boss, m->id, "done");
        break;
    }
}

static void line_comes(struct boss *boss, const char *line, size_t len)
{
    struct message m;
    struct error e;
    char text[512];
    if (!message_parse(line, len, &m, &e))
        return;
    if (m.type == MESSAGE_HELLO) {
        boss->hellos++;
        (void)snprintf(
            text, sizeof text,
            "{\"type\":\"welcome\",\"version\":1,\"vnf\":\"%s\",\"granted_bytes\":%llu,\"granularity\":"
            "2097152,"
            "\"min_bytes\":134217728,\"max_bytes\":4294967296,\"lease_ms\":3000,\"backend\":\"simulated\"}\n",
            m.vnf, (unsigned long long)boss->granted);
        say(boss, text);
    } else if (m.type == MESSAGE_RESCALE) {
        rescale_comes(boss, &m);
    } else if (m.type == MESSAGE_RECLAIMING) {
        boss->reclaimings++;
    } else if (m.type == MESSAGE_PING) {
        say(boss, "{\"type\":\"pong\"}\n");
    }
    message_release(&m);
}

static void serve(struct boss *boss, int fd)
{
    char buffer[20000];
    size_t have = 0;
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = boss->stop_pipe[0], .events = POLLIN}};
    while (poll(fds, 2, -1) > 0 && fds[1].revents == 0) {
        ssize_t n = recv(fd, buffer + have, sizeof buffer - have, 0);
        if (n <= 0)
            return;
        have += (size_t)n;
        for (char *end; (end = memchr(buffer, '\n', have)) != NULL;) {
            size_t len = (size_t)(end - buffer);
            (void)pthread_mutex_lock(&boss->lock);
            line_comes(boss, buffer, len);
            (void)pthread_mutex_unlock(&boss->lock);
            have -= len + 1;
            memmove(buffer, end + 1, have);
        }
    }
}

static void *run(void *arg)
{
    struct boss *boss = arg;
    struct pollfd fds[2] = {{.fd = boss->listener, .events = POLLIN},
                            {.fd = boss->stop_pipe[0], .events = POLLIN}};
    while (poll(fds, 2, -1) > 0 && fds[1].revents == 0) {
        int fd = accept(boss->listener, NULL, NULL);
        if (fd < 0)
            continue;
        (void)pthread_mutex_lock(&boss->lock);
        boss->peer = fd;
        (void)pthread_mutex_unlock(&boss->lock);
        serve(boss, fd);
        (void)pthread_mutex_lock(&boss->lock);
        boss->peer = -1;
        (void)pthread_mutex_unlock(&boss->lock);
        (void)close(fd);
    }
    return NULL;
}

void boss_begin(struct boss *boss, uint64_t granted)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memset(boss, 0, sizeof *boss);
    boss->granted = granted;
    boss->peer = -1;
    (void)snprintf(boss->path, sizeof boss->path, "/tmp/scaler-boss.XXXXXX");
    assert_non_null(mkdtemp(boss->path));
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s/s", boss->path);
    (void)snprintf(boss->address, sizeof boss->address, "unix:%s", addr.sun_path);
    boss->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(boss->listener >= 0);
    assert_int_equal(bind(boss->listener, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(boss->listener, 8), 0);
    assert_int_equal(pipe(boss->stop_pipe), 0);
    (void)pthread_mutex_init(&boss->lock, NULL);
    assert_int_equal(pthread_create(&boss->thread, NULL, run, boss), 0);
}

void boss_end(struct boss *boss)
{
    assert_int_equal(write(boss->stop_pipe[1], "x", 1), 1);
    assert_int_equal(pthread_join(boss->thread, NULL), 0);
    (void)close(boss->listener);
    (void)close(boss->stop_pipe[0]);
    (void)close(boss->stop_pipe[1]);
    (void)unlink(boss->address + strlen("unix:"));
    (void)rmdir(boss->path);
    (void)pthread_mutex_destroy(&boss->lock);
}

void boss_set_mood(struct boss *boss, enum boss_mood mood)
{
    (void)pthread_mutex_lock(&boss->lock);
    boss->mood = mood;
    (void)pthread_mutex_unlock(&boss->lock);
}

void boss_hang_up(struct boss *boss)
{
    (void)pthread_mutex_lock(&boss->lock);
    if (boss->peer >= 0)
        (void)shutdown(boss->peer, SHUT_RDWR);
    (void)pthread_mutex_unlock(&boss->lock);
}

uint64_t boss_granted(struct boss *boss)
{
    (void)pthread_mutex_lock(&boss->lock);
    uint64_t granted = boss->granted;
    (void)pthread_mutex_unlock(&boss->lock);
    return granted;
}

unsigned boss_rescales(struct boss *boss)
{
    (void)pthread_mutex_lock(&boss->lock);
    unsigned rescales = boss->rescales;
    (void)pthread_mutex_unlock(&boss->lock);
    return rescales;
}

unsigned boss_reclaimings(struct boss *boss)
{
    (void)pthread_mutex_lock(&boss->lock);
    unsigned reclaimings = boss->reclaimings;
    (void)pthread_mutex_unlock(&boss->lock);
    return reclaimings;
}
