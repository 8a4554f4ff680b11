#include "kvstore/resp/replica.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "kvstore/resp/pool.h"
#include "kvstore/resp/replica_parts.h"

#define DEFAULT_TIMEOUT_MS 60000u
#define REPLY_MOST         (1024u * 1024)

const char *resp_replica_state_text(enum resp_replica_state state)
{
    static const char *const texts[] = {"none", "connect", "connecting", "sync", "connected"};
    return texts[state];
}

void resp_replica_set_state(struct resp_replica *r, enum resp_replica_state state)
{
    unsigned before = atomic_exchange(&r->state, (unsigned)state);
    (void)pthread_mutex_lock(&r->lock);
    if (state == RESP_REPLICA_CONNECTED)
        r->down_since_ns = 0;
    else if (before == RESP_REPLICA_CONNECTED || r->down_since_ns == 0)
        r->down_since_ns = clock_ns();
    (void)pthread_mutex_unlock(&r->lock);
}

static void set_gate(struct resp_replica *r)
{
    if (r->host[0] != '\0' && !r->options.writable)
        atomic_fetch_or(&r->shared->replica_gate, RESP_REPLICA_READ_ONLY);
    else
        atomic_fetch_and(&r->shared->replica_gate, ~(unsigned)RESP_REPLICA_READ_ONLY);
}

static void wake(struct resp_replica *r)
{
    (void)pthread_cond_broadcast(&r->changed);
    uint64_t one = 1;
    ssize_t n = write(r->wake_fd, &one, sizeof one);
    (void)n; // it is awake already
}

// ---- begin and end

static char *copy_text(const char *text, bool *good)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    *good &= text == NULL || copy != NULL;
    return copy;
}

static void free_replica(struct resp_replica *r)
{
    if (r->wake_fd >= 0)
        (void)close(r->wake_fd);
    if (r->options.password != NULL)
        explicit_bzero((char *)r->options.password, strlen(r->options.password));
    free((char *)r->options.password);
    free((char *)r->options.user);
    SSL_CTX_free(r->options.tls);
    free(r);
}

static struct resp_replica *create(struct resp_shared *shared, const struct resp_replica_options *o,
                                   struct error *e)
{
    uint8_t id[RESP_REPLID / 2];
    bool good = true;
    struct resp_replica *r = calloc(1, sizeof *r);
    if (r == NULL) {
        error_set(e, "replica: out of memory");
        return NULL;
    }
    *r = (struct resp_replica){.shared = shared, .options = *o};
    if (r->options.timeout_ms == 0)
        r->options.timeout_ms = DEFAULT_TIMEOUT_MS;
    r->options.user = copy_text(o->user, &good);
    r->options.password = copy_text(o->password, &good);
    if (r->options.tls != NULL)
        (void)SSL_CTX_up_ref(r->options.tls);
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!good || r->wake_fd < 0 || getrandom(id, sizeof id, 0) != (ssize_t)sizeof id) {
        error_set(e, "replica: cannot be set up: %s", strerror(errno));
        free_replica(r);
        return NULL;
    }
    for (size_t i = 0; i < sizeof id; i++)
        (void)snprintf(r->own_id + 2 * i, 3, "%02x", id[i]);
    return r;
}

static void name(struct resp_replica *r, const char *host, unsigned port)
{
    (void)snprintf(r->host, sizeof r->host, "%s", host != NULL ? host : "");
    r->port = port;
    set_gate(r);
}

bool resp_replica_open(struct resp_shared *shared, const struct resp_replica_options *options,
                       struct error *e)
{
    pthread_condattr_t monotonic;
    if (options->primary_host != NULL && strlen(options->primary_host) >= RESP_REPLICA_HOST) {
        error_set(e, "replica: the primary's name has more than %u bytes", RESP_REPLICA_HOST - 1);
        return false;
    }
    struct resp_replica *r = create(shared, options, e);
    if (r == NULL)
        return false;
    name(r, options->primary_host, options->primary_port);
    if (!resp_replica_load_record(r, e)) {
        free_replica(r);
        return false;
    }
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_mutex_init(&r->apply_lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    unsigned db = r->session.db;
    r->session.from_primary = true;
    r->session.fd = -1;
    (void)snprintf(r->session.peer, sizeof r->session.peer, "primary");
    resp_session_init(&r->session, shared);
    r->session.db = db;
    resp_reply_init(&r->reply, REPLY_MOST);
    resp_replica_set_state(r, r->host[0] != '\0' ? RESP_REPLICA_CONNECT : RESP_REPLICA_NONE);
    shared->replica = r;
    return true;
}

bool resp_replica_start(struct resp_shared *shared, struct error *e)
{
    struct resp_replica *r = shared->replica;
    if (r == NULL)
        return true;
    int rc = resp_thread_start(resp_replica_run, r, &r->thread);
    r->started = rc == 0;
    if (rc != 0)
        error_set(e, "replica: thread: %s", strerror(rc));
    return rc == 0;
}

void resp_replica_close(struct resp_shared *shared)
{
    struct resp_replica *r = shared->replica;
    if (r == NULL)
        return;
    (void)pthread_mutex_lock(&r->lock);
    r->stop = true;
    wake(r);
    (void)pthread_mutex_unlock(&r->lock);
    atomic_fetch_add(&r->generation, 1);
    if (r->started)
        (void)pthread_join(r->thread, NULL);
    resp_replica_save_record(r);
    shared->replica = NULL;
    resp_session_deinit(&r->session);
    resp_reply_deinit(&r->reply);
    (void)pthread_cond_destroy(&r->changed);
    (void)pthread_mutex_destroy(&r->apply_lock);
    (void)pthread_mutex_destroy(&r->lock);
    free_replica(r);
}

// ---- whom we follow

bool resp_replica_follow(struct resp_shared *shared, const char *host, unsigned port)
{
    struct resp_replica *r = shared->replica;
    char quoted[RESP_REPLICA_HOST + 16];
    (void)pthread_mutex_lock(&r->lock);
    bool same = host != NULL ? strcasecmp(r->host, host) == 0 && r->port == port : r->host[0] == '\0';
    if (same) {
        (void)pthread_mutex_unlock(&r->lock);
        return host == NULL;
    }
    atomic_fetch_add(&r->generation, 1);
    (void)pthread_mutex_unlock(&r->lock);
    // What the thread is carrying out ends first; it begins nothing more of that generation.
    (void)pthread_mutex_lock(&r->apply_lock);
    (void)pthread_mutex_lock(&r->lock);
    atomic_fetch_add(&r->generation, 1);
    name(r, host, port);
    if (host == NULL)
        r->id[0] = '\0';
    wake(r);
    (void)pthread_mutex_unlock(&r->lock);
    resp_replica_set_state(r, host != NULL ? RESP_REPLICA_CONNECT : RESP_REPLICA_NONE);
    (void)pthread_mutex_unlock(&r->apply_lock);
    if (host != NULL)
        log_info("replica_of", "host=%s port=%u", log_quote(host, quoted, sizeof quoted), port);
    else
        log_info("replica_of_none", "note=\"a primary now\"");
    return true;
}

void resp_replica_get_status(struct resp_shared *shared, struct resp_replica_status *status)
{
    struct resp_replica *r = shared->replica;
    *status = (struct resp_replica_status){.last_io_ms = UINT64_MAX};
    if (r == NULL)
        return;
    uint64_t now_ns = clock_ns(), io_ns = atomic_load(&r->last_io_ns);
    (void)pthread_mutex_lock(&r->lock);
    memcpy(status->host, r->host, sizeof status->host);
    status->port = r->port;
    memcpy(status->id, r->host[0] != '\0' && r->id[0] != '\0' ? r->id : r->own_id, sizeof status->id);
    if (r->host[0] != '\0' && r->down_since_ns != 0)
        status->link_down_ms = (now_ns - r->down_since_ns) / 1000000 + 1;
    status->state = (enum resp_replica_state)atomic_load(&r->state); // the thread may be behind
    if (r->host[0] == '\0')
        status->state = RESP_REPLICA_NONE;
    else if (status->state == RESP_REPLICA_NONE)
        status->state = RESP_REPLICA_CONNECT;
    (void)pthread_mutex_unlock(&r->lock);
    status->read_only = !r->options.writable;
    status->offset = atomic_load(&r->offset);
    if (status->state >= RESP_REPLICA_SYNC && io_ns != 0 && now_ns >= io_ns)
        status->last_io_ms = (now_ns - io_ns) / 1000000;
    status->full_syncs = atomic_load(&r->full_syncs);
    status->partial_syncs = atomic_load(&r->partial_syncs);
    status->failures = atomic_load(&r->failures);
    status->sync_bytes = atomic_load(&r->sync_bytes);
    status->commands = atomic_load(&r->commands);
    status->skipped = atomic_load(&r->skipped);
}

const char *resp_replica_full_resync(struct resp_shared *shared, char *buf, size_t len)
{
    struct resp_replica_status status;
    resp_replica_get_status(shared, &status);
    (void)snprintf(buf, len, "FULLRESYNC %s %" PRIu64,
                   status.id[0] != '\0' ? status.id : "0000000000000000000000000000000000000000",
                   status.offset);
    return buf;
}

// ---- clients meanwhile

bool resp_replica_refuse(struct resp_call *call)
{
    unsigned gate = atomic_load(&call->session->shared->replica_gate), flags = call->command->flags;
    if (call->session->from_primary || (flags & (RESP_CMD_WRITE | RESP_CMD_READONLY)) == 0)
        return false;
    if ((gate & RESP_REPLICA_LOADING) != 0) {
        resp_error(call->reply, "LOADING Redis is loading the dataset in memory");
        return true;
    }
    if ((flags & RESP_CMD_WRITE) == 0)
        return false;
    resp_error(call->reply, "READONLY You can't write against a read only replica.");
    return true;
}
