#include "scaleup/rescale_resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/thread_signals.h"

// Shared by who asked and the thread; the last of them frees it.
struct rescale_resolve {
    _Atomic int users;
    _Atomic bool ready; // what is below is the thread's until then
    int fd;
    char *address;
    bool good;
    struct net_addr addr;
    struct error error;
};

bool rescale_resolve_is_literal(const char *address)
{
    unsigned char ip[16];
    char host[INET_ADDRSTRLEN];
    size_t len = strcspn(address, ":");
    if (strncmp(address, "unix:", 5) == 0 || address[0] == '[')
        return true;
    if (len >= sizeof host)
        return false;
    memcpy(host, address, len);
    host[len] = '\0';
    return inet_pton(AF_INET, host, ip) == 1;
}

static void unref(struct rescale_resolve *resolve)
{
    if (atomic_fetch_sub(&resolve->users, 1) != 1)
        return;
    if (resolve->fd >= 0)
        (void)close(resolve->fd);
    free(resolve->address);
    free(resolve);
}

static void *look_up(void *arg)
{
    struct rescale_resolve *resolve = arg;
    const uint64_t one = 1;
    ssize_t n;
    resolve->good = net_addr_parse(resolve->address, &resolve->addr, &resolve->error);
    atomic_store(&resolve->ready, true);
    do
        n = write(resolve->fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
    unref(resolve);
    return NULL;
}

static int start_thread(struct rescale_resolve *resolve)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t old;
    int rc = pthread_attr_init(&attr);
    if (rc != 0)
        return rc;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    thread_signals_block(&old);
    rc = pthread_create(&thread, &attr, look_up, resolve);
    thread_signals_restore(&old);
    (void)pthread_attr_destroy(&attr);
    return rc;
}

struct rescale_resolve *rescale_resolve_start(const char *address, struct error *e)
{
    struct rescale_resolve *resolve = calloc(1, sizeof *resolve);
    if (resolve == NULL) {
        error_set(e, "%.200s: no memory", address);
        return NULL;
    }
    atomic_init(&resolve->users, 2);
    resolve->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    resolve->address = strdup(address);
    int rc = resolve->fd < 0 ? errno : resolve->address == NULL ? ENOMEM : start_thread(resolve);
    if (rc == 0)
        return resolve;
    error_set(e, "%.200s: resolve: %s", address, strerror(rc));
    atomic_store(&resolve->users, 1);
    unref(resolve);
    return NULL;
}

int rescale_resolve_fd(const struct rescale_resolve *resolve)
{
    return resolve->fd;
}

bool rescale_resolve_result(struct rescale_resolve *resolve, struct net_addr *addr, struct error *e)
{
    if (!atomic_load(&resolve->ready)) {
        error_set(e, "%.200s: resolve: no answer yet", resolve->address);
        return false;
    }
    *addr = resolve->addr;
    if (!resolve->good)
        error_set(e, "%s", resolve->error.text);
    return resolve->good;
}

void rescale_resolve_end(struct rescale_resolve **resolvep)
{
    if (*resolvep != NULL)
        unref(*resolvep);
    *resolvep = NULL;
}
