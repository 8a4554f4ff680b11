// Listening and connecting sockets. Every message starts with the address it is about.
#include "common/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

// A listening socket that was left behind answers ECONNREFUSED: nobody has it open any more. True when the
// name is free now; false with errno.
static bool remove_dead_socket(const struct sockaddr_un *un, socklen_t len)
{
    struct stat st;
    if (lstat(un->sun_path, &st) != 0)
        return errno == ENOENT;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return false;
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return false;
    int rc = connect(probe, (const struct sockaddr *)un, len);
    int why = errno;
    (void)close(probe);
    if (rc == 0 || why != ECONNREFUSED) {
        errno = EADDRINUSE;
        return false;
    }
    return unlink(un->sun_path) == 0 || errno == ENOENT;
}

// The mode is set on the socket before it has a name (Linux gives it to the file), so that there is no moment
// at which others can connect; and checked afterwards.
static bool bind_unix(int fd, const struct sockaddr_un *un, socklen_t len)
{
    const struct sockaddr *sa = (const struct sockaddr *)un;
    if (fchmod(fd, S_IRUSR | S_IWUSR) != 0)
        return false;
    if (bind(fd, sa, len) != 0 &&
        (errno != EADDRINUSE || !remove_dead_socket(un, len) || bind(fd, sa, len) != 0))
        return false;
    struct stat st;
    if (lstat(un->sun_path, &st) != 0)
        return false;
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return true;
    (void)unlink(un->sun_path);
    errno = EPERM;
    return false;
}

static bool bind_inet(int fd, const struct sockaddr *sa, socklen_t len)
{
    const int on = 1, off = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return false;
    if (sa->sa_family == AF_INET6) {
        bool any = IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)sa)->sin6_addr);
        if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, any ? &off : &on, sizeof on) != 0)
            return false;
    }
    return bind(fd, sa, len) == 0;
}

// Where the system has no IPv6, "any address" means any IPv4 address.
static int open_socket(struct net_addr *addr)
{
    int fd = socket(addr->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr->ss;
    if (fd >= 0 || errno != EAFNOSUPPORT || addr->ss.ss_family != AF_INET6 ||
        !IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
        return fd;
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = in6->sin6_port};
    memset(&addr->ss, 0, sizeof addr->ss);
    memcpy(&addr->ss, &any, sizeof any);
    addr->len = sizeof any;
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int net_listen(const struct net_addr *addr, int backlog, struct net_addr *bound, struct error *e)
{
    struct net_addr real = *addr;
    const struct sockaddr *sa = (const struct sockaddr *)&real.ss;
    char text[NET_ADDR_TEXT];
    (void)net_addr_format(sa, real.len, text);

    int fd = open_socket(&real);
    if (fd < 0) {
        error_set(e, "%s: socket: %s", text, strerror(errno));
        return -1;
    }
    bool is_unix = sa->sa_family == AF_UNIX;
    bool done =
        is_unix ? bind_unix(fd, (const struct sockaddr_un *)sa, real.len) : bind_inet(fd, sa, real.len);
    if (!done || listen(fd, backlog) != 0) {
        error_set(e, "%s: listen: %s", text, errno == EADDRINUSE ? "the address is in use" : strerror(errno));
        (void)close(fd);
        return -1;
    }
    if (bound != NULL) {
        *bound = real;
        bound->len = sizeof bound->ss;
        (void)getsockname(fd, (struct sockaddr *)&bound->ss, &bound->len);
    }
    return fd;
}

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Waits until a connect that was begun is done. False with errno.
static bool wait_connected(int fd, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - now_ms();
        struct pollfd pfd = {.fd = fd, .events = POLLOUT};
        int rc = poll(&pfd, 1, left > 0 ? (int)left : 0);
        if (rc > 0)
            break;
        if (rc == 0 && left <= 0) {
            errno = ETIMEDOUT;
            return false;
        }
        if (rc < 0 && errno != EINTR)
            return false;
    }
    int failure = 0;
    socklen_t len = sizeof failure;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len) != 0)
        return false;
    errno = failure;
    return failure == 0;
}

// A Unix socket whose backlog is full answers EAGAIN at once and gives nothing to wait for: try again
// shortly.
static bool connect_by(int fd, const struct net_addr *addr, int64_t deadline)
{
    while (connect(fd, (const struct sockaddr *)&addr->ss, addr->len) != 0) {
        if (errno == EINPROGRESS || errno == EINTR)
            return wait_connected(fd, deadline);
        if (errno != EAGAIN)
            return false;
        if (now_ms() >= deadline) {
            errno = ETIMEDOUT;
            return false;
        }
        (void)poll(NULL, 0, 5);
    }
    return true;
}

static bool make_blocking(int fd, sa_family_t family)
{
    const int on = 1;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0)
        return false;
    return family == AF_UNIX || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
}

int net_connect(const struct net_addr *addr, unsigned timeout_ms, struct error *e)
{
    char text[NET_ADDR_TEXT];
    (void)net_addr_format((const struct sockaddr *)&addr->ss, addr->len, text);
    int fd = socket(addr->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        error_set(e, "%s: socket: %s", text, strerror(errno));
        return -1;
    }
    if (!connect_by(fd, addr, now_ms() + timeout_ms) || !make_blocking(fd, addr->ss.ss_family)) {
        error_set(e, "%s: connect: %s", text, strerror(errno));
        (void)close(fd);
        return -1;
    }
    return fd;
}
