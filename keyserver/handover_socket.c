#include "keyserver/handover_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    char bytes[CMSG_SPACE(HANDOVER_SOCKETS * sizeof(int))];
    struct cmsghdr align;
};

bool handover_send(int fd, const struct handover_message *message, const int *fds, struct error *e)
{
    char line[HANDOVER_LINE_MAX];
    union control control;
    struct iovec part = {.iov_base = line, .iov_len = handover_format(message, line)};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent;

    if (part.iov_len == 0) {
        error_set(e, "hand-over: the message does not fit");
        return false;
    }
    if (fds != NULL && message->count > 0) {
        size_t size = message->count * sizeof(int);
        memset(&control, 0, sizeof control);
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(c), fds, size);
    }
    do
        sent = sendmsg(fd, &header, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent == (ssize_t)part.iov_len)
        return true;
    error_set(e, "hand-over: send: %s", sent < 0 ? strerror(errno) : "the socket is full");
    return false;
}

// ---- receiving

struct arrivals {
    int fds[HANDOVER_SOCKETS];
    unsigned count;
};

static void close_arrivals(struct arrivals *arrivals)
{
    while (arrivals->count > 0)
        (void)close(arrivals->fds[--arrivals->count]);
}

static void take_descriptors(struct msghdr *header, struct arrivals *arrivals)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (arrivals->count < HANDOVER_SOCKETS)
                arrivals->fds[arrivals->count++] = fd;
            else
                (void)close(fd);
        }
    }
}

// One read: the peer says no more before it is answered. -1 with errno, 0 at the end.
static ssize_t receive_some(int fd, char *at, size_t room, struct arrivals *arrivals)
{
    union control control;
    struct iovec part = {.iov_base = at, .iov_len = room};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    ssize_t n;
    do
        n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        take_descriptors(&header, arrivals);
    return n;
}

// The line's length without its newline; -1: *e.
static ssize_t receive_line(int fd, char line[static HANDOVER_LINE_MAX], struct arrivals *arrivals,
                            bool *ended, struct error *e)
{
    for (size_t len = 0; len < HANDOVER_LINE_MAX;) {
        ssize_t n = receive_some(fd, line + len, HANDOVER_LINE_MAX - len, arrivals);
        *ended = n == 0 || (n < 0 && errno == ECONNRESET);
        if (n <= 0) {
            error_set(e, "hand-over: receive: %s",
                      *ended                                    ? "the other one has ended"
                      : errno == EAGAIN || errno == EWOULDBLOCK ? "no answer in time"
                                                                : strerror(errno));
            return -1;
        }
        len += (size_t)n;
        if (line[len - 1] == '\n')
            return (ssize_t)len - 1;
    }
    error_set(e, "hand-over: receive: found a line longer than %u bytes", HANDOVER_LINE_MAX);
    return -1;
}

bool handover_receive(int fd, struct handover_message *message, int *fds, bool *ended, struct error *e)
{
    char line[HANDOVER_LINE_MAX];
    struct arrivals arrivals = {.count = 0};
    ssize_t len = receive_line(fd, line, &arrivals, ended, e);
    bool good = len >= 0 && handover_parse(line, (size_t)len, message, e);
    if (good && arrivals.count != (fds != NULL ? message->count : 0)) {
        error_set(e, "hand-over: found %u descriptors, expected %u", arrivals.count,
                  fds != NULL ? message->count : 0);
        good = false;
    }
    if (!good) {
        close_arrivals(&arrivals);
        return false;
    }
    if (fds != NULL)
        memcpy(fds, arrivals.fds, arrivals.count * sizeof fds[0]);
    return true;
}
