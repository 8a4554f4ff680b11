// Starting, killing and asking the store process.
#include "tests/soak/soak_check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define STUCK_S 120 // no operation takes so long, not even on a slow disk

void soak_request(struct soak_worker *worker, enum soak_op op, uint32_t flags, uint64_t arg)
{
    worker->request.op = op;
    worker->request.flags = flags;
    worker->request.arg = arg;
    worker->request.count = 0;
    worker->request.unused = 0;
}

struct soak_item *soak_request_item(struct soak_worker *worker, uint32_t key)
{
    struct soak_item *item = &worker->request.items[worker->request.count++];
    *item = (struct soak_item){.key = key};
    return item;
}

bool soak_ask(struct soak_worker *worker)
{
    ssize_t n = send(worker->fd, &worker->request, soak_request_size(&worker->request), MSG_NOSIGNAL);
    if (n > 0)
        n = recv(worker->fd, &worker->answer, sizeof worker->answer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        soak_differ(worker->run, UINT32_MAX, "no answer to a %s in %d s", soak_op_names[worker->request.op],
                    STUCK_S);
    if (n <= 0)
        return false;
    atomic_fetch_add(&worker->run->counts.ops[worker->request.op], 1);
    worker->operations++;
    return true;
}

static bool connect_pair(struct soak_worker *worker, int *theirs)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    struct timeval stuck = {.tv_sec = STUCK_S};
    (void)setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &stuck, sizeof stuck);
    if (worker->fd >= 0)
        (void)close(worker->fd);
    worker->fd = pair[0];
    *theirs = pair[1];
    return true;
}

static void limit_resource(int resource, uint64_t value)
{
    if (value != 0)
        (void)setrlimit((__rlimit_resource_t)resource, &(struct rlimit){value, value});
}

static void run_store(struct soak_run *run, const int *fds, uint32_t count)
{
    char text[SOAK_WORKERS_MAX + 2][12];
    char *argv[SOAK_WORKERS_MAX + 6] = {(char *)"kvsoak", (char *)"--store-process", run->dir};
    (void)snprintf(text[0], sizeof text[0], "%d", run->clock_fd);
    argv[3] = text[0];
    for (uint32_t i = 0; i < count; i++) {
        (void)fcntl(fds[i], F_SETFD, 0);
        (void)snprintf(text[i + 1], sizeof text[0], "%d", fds[i]);
        argv[4 + i] = text[i + 1];
    }
    limit_resource(RLIMIT_FSIZE, run->options.rlimit_fsize);
    limit_resource(RLIMIT_NOFILE, run->options.rlimit_nofile);
    limit_resource(RLIMIT_AS, run->options.rlimit_as);
    (void)execv(run->self, argv);
    _exit(127);
}

bool soak_store_start(struct soak_run *run)
{
    int fds[SOAK_WORKERS_MAX + 1];
    uint32_t count = 0;
    bool ok = connect_pair(&run->control, &fds[count++]);
    for (uint32_t i = 0; i < run->options.workers && ok; i++)
        ok = connect_pair(&run->workers[i], &fds[count++]);
    run->pid = ok ? fork() : -1;
    if (run->pid == 0)
        run_store(run, fds, count);
    for (uint32_t i = 0; i < count && ok; i++)
        (void)close(fds[i]);
    if (run->pid < 0) {
        run->pid = 0;
        soak_differ(run, UINT32_MAX, "cannot start the store process: %s", strerror(errno));
        return false;
    }
    return true;
}

void soak_store_kill(struct soak_run *run)
{
    if (run->pid == 0)
        return;
    (void)kill(run->pid, SIGKILL);
    (void)waitpid(run->pid, NULL, 0);
    run->pid = 0;
}

void soak_store_end(struct soak_run *run)
{
    if (run->pid == 0)
        return;
    for (uint32_t i = 0; i < run->options.workers; i++) {
        (void)close(run->workers[i].fd);
        run->workers[i].fd = -1;
    }
    (void)close(run->control.fd);
    run->control.fd = -1;
    int status = 0;
    (void)waitpid(run->pid, &status, 0);
    run->pid = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        soak_differ(run, UINT32_MAX, "the store process ended with wait status %#x", (unsigned)status);
}
