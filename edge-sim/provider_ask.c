// One question to the key server from inside an OpenSSL operation.
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <openssl/async.h>
#include <openssl/crypto.h>

#include "common/log.h"
#include "edge-sim/provider_internal.h"

// A question asked from an ASYNC job. Two hold it: the transport until done(), and the wait context of the
// job (or the job itself, which is to say whoever comes first). So it outlives both an SSL that is freed
// while the job is paused and a job that goes on.
struct question {
    struct ski_call call; // first: done() gets back to us
    _Atomic unsigned refs;
    _Atomic bool finished;
    int fd; // eventfd: readable once finished
};

static void unref(struct question *q)
{
    if (atomic_fetch_sub(&q->refs, 1) != 1)
        return;
    if (q->fd >= 0)
        (void)close(q->fd);
    OPENSSL_cleanse(q, sizeof *q);
    free(q);
}

static void done(struct ski_call *call)
{
    struct question *q = (struct question *)(void *)call;
    uint64_t one = 1;
    atomic_store(&q->finished, true);
    (void)!write(q->fd, &one, sizeof one);
    unref(q);
}

// The wait context is freed with its SSL while the job is paused: the job will not run again.
static void forget(ASYNC_WAIT_CTX *ctx, const void *key, OSSL_ASYNC_FD fd, void *arg)
{
    (void)ctx;
    (void)key;
    (void)fd;
    unref(arg);
}

static void pause_until_finished(struct question *q)
{
    while (!atomic_load(&q->finished)) {
        // Also returns when somebody resumed the job too early, and at once where pausing is blocked.
        (void)ASYNC_pause_job();
        struct pollfd p = {.fd = q->fd, .events = POLLIN};
        if (!atomic_load(&q->finished))
            (void)poll(&p, 1, 1);
    }
}

static struct question *question_create(struct provider_key *key, const struct ski_request *request)
{
    struct question *q = calloc(1, sizeof *q);
    if (q == NULL)
        return NULL;
    q->fd = -1;
    q->refs = 1;
    q->call.request = *request;
    q->call.timeout_ms = key->provider->timeout_ms;
    return q;
}

// False: this way is not open (no descriptor, no memory); nothing was submitted.
static bool ask_in_job(struct provider_key *key, struct question *q, ASYNC_JOB *job)
{
    ASYNC_WAIT_CTX *wait = ASYNC_get_wait_ctx(job);
    q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (q->fd < 0 || wait == NULL || ASYNC_WAIT_CTX_set_wait_fd(wait, q, q->fd, q, forget) != 1)
        return false;
    q->call.done = done;
    atomic_fetch_add(&q->refs, 1); // the transport's
    key->provider->transport->submit(key->provider->transport, &q->call);
    pause_until_finished(q);
    (void)ASYNC_WAIT_CTX_clear_fd(wait, q); // the job's reference now holds alone
    return true;
}

enum ski_status provider_ask(struct provider_key *key, struct ski_request *request, uint8_t *out, size_t cap,
                             size_t *out_len)
{
    request->spki = key->spki;
    struct question *q = question_create(key, request);
    if (q == NULL)
        return SKI_FAILED;
    ASYNC_JOB *job = ASYNC_get_current_job();
    if (job == NULL || !ask_in_job(key, q, job))
        (void)ski_transport_call(key->provider->transport, &q->call);
    enum ski_status status = q->call.status;
    if (status == SKI_OK && q->call.output_len > cap)
        status = SKI_BAD_ANSWER;
    if (status == SKI_OK) {
        memcpy(out, q->call.output, q->call.output_len);
        *out_len = q->call.output_len;
    } else {
        OPENSSL_cleanse(out, cap);
        *out_len = 0;
        log_warn("ski_failed", "spki=%.8s method=%s reason=\"%s\"", key->spki,
                 request->method == SKI_METHOD_RSA ? "RSA" : "ECDHE", ski_status_text(status));
    }
    unref(q);
    return status;
}
