#include "common/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_FD 3

static bool int_option(int fd, int option, int *value)
{
    socklen_t len = sizeof *value;
    return getsockopt(fd, SOL_SOCKET, option, value, &len) == 0;
}

static bool prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL), fd_flags = fcntl(fd, F_GETFD);
    return flags >= 0 && fd_flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
           fcntl(fd, F_SETFD, fd_flags | FD_CLOEXEC) == 0;
}

// Its place; -1: there is none.
static int find(const struct inherited *set, const char *name)
{
    for (unsigned i = 0; set != NULL && i < set->count; i++)
        if (set->sockets[i].fd >= 0 && strcmp(set->sockets[i].name, name) == 0)
            return (int)i;
    return -1;
}

static bool may_add(const struct inherited *set, const char *name, int fd, struct error *e)
{
    int listening = 0, type = 0;
    if (set->count == INHERIT_MOST || strlen(name) >= INHERIT_NAME)
        error_set(e, "inherited sockets: found more than %u, or a name longer than %u", INHERIT_MOST,
                  INHERIT_NAME - 1);
    else if (find(set, name) >= 0)
        error_set(e, "inherited socket %s: comes twice", name);
    else if (!int_option(fd, SO_ACCEPTCONN, &listening) || !int_option(fd, SO_TYPE, &type))
        error_set(e, "inherited socket %s: descriptor %d: %s", name, fd, strerror(errno));
    else if (listening == 0 || type != SOCK_STREAM)
        error_set(e, "inherited socket %s: descriptor %d: expected a stream socket that listens", name, fd);
    else if (!prepare(fd))
        error_set(e, "inherited socket %s: descriptor %d: fcntl: %s", name, fd, strerror(errno));
    else
        return true;
    return false;
}

bool inherit_add(struct inherited *set, const char *name, int fd, bool keeps_file, struct error *e)
{
    if (!may_add(set, name, fd, e)) {
        (void)close(fd);
        return false;
    }
    struct inherited_socket *socket = &set->sockets[set->count++];
    *socket = (struct inherited_socket){.fd = fd, .keeps_file = keeps_file};
    (void)snprintf(socket->name, sizeof socket->name, "%s", name);
    return true;
}

bool inherit_has(const struct inherited *set, const char *name)
{
    return find(set, name) >= 0;
}

int inherit_take(struct inherited *set, const char *name, bool *keeps_file)
{
    int at = find(set, name);
    if (at < 0)
        return -1;
    struct inherited_socket *socket = &set->sockets[at];
    int fd = socket->fd;
    socket->fd = -1;
    if (keeps_file != NULL)
        *keeps_file = socket->keeps_file;
    return fd;
}

void inherit_close(struct inherited *set)
{
    for (unsigned i = 0; i < set->count; i++)
        if (set->sockets[i].fd >= 0)
            (void)close(set->sockets[i].fd);
    set->count = 0;
}

// ---- from the service manager

// False: the variable is not there or no number up to INT_MAX.
static bool read_number(const char *name, long *number)
{
    const char *text = getenv(name);
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *number = strtol(text, &end, 10);
    return errno == 0 && *end == '\0' && *number <= 0x7fffffff;
}

static const char *known_name(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(*names, name) == 0)
            return *names;
    return NULL;
}

// The next word of a list with colons between; moves *list behind it, to NULL when there are no more.
static void next_word(const char **list, char word[static INHERIT_NAME])
{
    size_t len = *list != NULL ? strcspn(*list, ":") : 0;
    (void)snprintf(word, INHERIT_NAME, "%.*s", (int)(len < INHERIT_NAME ? len : INHERIT_NAME),
                   *list != NULL ? *list : "");
    if (*list != NULL)
        *list = (*list)[len] == ':' ? *list + len + 1 : NULL;
}

static bool take_all(struct inherited *set, long count, const char *words, const char *const *names,
                     struct error *e)
{
    for (long i = 0; i < count; i++) {
        char word[INHERIT_NAME];
        next_word(&words, word);
        const char *name = known_name(word, names);
        if (name == NULL && count == 1)
            name = names[0];
        if (name == NULL) {
            error_set(
                e, "socket %ld of the service manager: found the name \"%s\", expected %s or another of ours",
                i, word, names[0]);
            return false;
        }
        if (!inherit_add(set, name, FIRST_FD + (int)i, true, e))
            return false;
    }
    return true;
}

bool inherit_from_manager(struct inherited *set, const char *const *names, struct error *e)
{
    long pid, count;
    bool good = true;
    if (read_number("LISTEN_PID", &pid) && pid == (long)getpid() && read_number("LISTEN_FDS", &count)) {
        good = count <= (long)INHERIT_MOST;
        if (!good)
            error_set(e, "LISTEN_FDS: found %ld sockets, expected %u at most", count, INHERIT_MOST);
        good = good && take_all(set, count, getenv("LISTEN_FDNAMES"), names, e);
    }
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return good;
}
