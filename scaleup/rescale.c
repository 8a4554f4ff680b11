// The session: a mailbox that any thread puts into, and the thread that empties it into the core, with the core's timer and the link.
#include "scaleup/rescale.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/rand.h>

#include "common/clock.h"
#include "common/thread_signals.h"
#include "scaleup/rescale_internal.h"
#include "scaleup/rescale_link.h"

#define OUTSTANDING_MAX 64
#define BACKOFF_MIN_MS  250
#define BACKOFF_MAX_MS  30000
#define TIMER_MAX_MS    ((uint64_t)3600 * 1000) // a look once an hour costs nothing

struct rescale_session {
    // The thread's own.
    struct event_base *base;
    struct event *wake_event, *timer;
    struct rescale_link *link;
    struct rescale_core core; // its counters are everybody's
    rescale_event_fn on_event;
    void *arg;
    uint64_t random;
    // Written before the thread starts.
    pthread_t thread;
    int wake_fd;
    bool is_operator;
    char id_prefix[12]; // of this session alone: the server remembers ids longer than a program runs
    // Under the lock. It is held while the thread is woken, so that nobody who has asked touches a session that is being closed.
    pthread_mutex_t lock;
    struct rescale_item *mail, **mail_tail; // MESSAGE_RESCALE, MESSAGE_STATUS_ASK, MESSAGE_RECLAIMING
    bool stopping;
    uint64_t asked;                      // ids made
    message_name slots[OUTSTANDING_MAX]; // ids of the rescales that have no final response yet; "": free
};

static _Thread_local const struct rescale_session *own_session; // of a session's thread

bool rescale_is_own_thread(const struct rescale_session *session)
{
    return own_session == session;
}

bool rescale_is_operator(const struct rescale_session *session)
{
    return session->is_operator;
}

static uint64_t now_ms(void)
{
    return clock_ns() / 1000000;
}

// ---- effects of the core

static bool do_connect(void *arg, struct error *e)
{
    return rescale_link_connect(((struct rescale_session *)arg)->link, e);
}

static void do_drop(void *arg)
{
    rescale_link_drop(((struct rescale_session *)arg)->link);
}

static bool do_send(void *arg, const struct message *message)
{
    const struct rescale_session *session = arg;
    size_t len;
    char *line = message_format(message, &len);
    bool sent = line != NULL && rescale_link_send(session->link, line, len);
    free(line);
    return sent;
}

static void do_event(void *arg, const struct rescale_event *event)
{
    const struct rescale_session *session = arg;
    if (session->on_event != NULL)
        session->on_event(session->arg, event);
}

static uint32_t do_random(void *arg) // for jitter: xorshift64
{
    struct rescale_session *session = arg;
    session->random ^= session->random << 13;
    session->random ^= session->random >> 7;
    session->random ^= session->random << 17;
    return (uint32_t)(session->random >> 32);
}

static void do_ended(void *arg, unsigned slot)
{
    struct rescale_session *session = arg;
    (void)pthread_mutex_lock(&session->lock);
    session->slots[slot][0] = '\0';
    (void)pthread_mutex_unlock(&session->lock);
}

// ---- the thread

// After each event: does what is due and sets the timer to what comes next.
static void tick(struct rescale_session *session)
{
    uint64_t now = now_ms(), next = rescale_core_tick(&session->core, now);
    uint64_t wait = next > now ? next - now : 0;
    if (wait > TIMER_MAX_MS)
        wait = TIMER_MAX_MS;
    struct timeval tv = {.tv_sec = (time_t)(wait / 1000), .tv_usec = (suseconds_t)(wait % 1000 * 1000)};
    (void)event_add(session->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    tick(arg);
}

static void on_connected(void *arg)
{
    struct rescale_session *session = arg;
    rescale_core_connected(&session->core, now_ms());
    tick(session);
}

static void on_disconnected(void *arg, const char *why)
{
    struct rescale_session *session = arg;
    rescale_core_disconnected(&session->core, why, now_ms());
    tick(session);
}

static void on_line(void *arg, const char *line, size_t len)
{
    struct rescale_session *session = arg;
    rescale_core_line(&session->core, line, len, now_ms());
    tick(session);
}

static void deliver(struct rescale_session *session, struct rescale_item *item)
{
    if (item->message.type != MESSAGE_RECLAIMING) {
        rescale_core_ask(&session->core, item, now_ms());
        return;
    }
    rescale_core_reclaiming(&session->core, &item->message, now_ms());
    free(item);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct rescale_session *session = arg;
    uint64_t count;
    (void)what;
    (void)!read(fd, &count, sizeof count); // before the mail is taken: a later sender wakes us again
    (void)pthread_mutex_lock(&session->lock);
    struct rescale_item *mail = session->mail;
    bool stopping = session->stopping;
    session->mail = NULL;
    session->mail_tail = &session->mail;
    (void)pthread_mutex_unlock(&session->lock);
    while (mail != NULL) {
        struct rescale_item *item = mail;
        mail = item->next;
        deliver(session, item);
    }
    if (stopping)
        (void)event_base_loopbreak(session->base);
    else
        tick(session);
}

static void *run(void *arg)
{
    struct rescale_session *session = arg;
    own_session = session;
    tick(session);
    (void)event_base_loop(session->base, EVLOOP_NO_EXIT_ON_EMPTY);
    rescale_core_close(&session->core);
    // The connection's deferred callbacks hold its bufferevent: run out what is queued.
    (void)event_del(session->wake_event);
    (void)event_del(session->timer);
    (void)event_base_loop(session->base, EVLOOP_NONBLOCK);
    return NULL;
}

// ---- opening and closing

static bool check_options(const struct rescale_options *options, struct error *e)
{
    uint64_t min = options->backoff_min_ms, max = options->backoff_max_ms;
    if (options->address == NULL)
        error_set(e, "expected the address of the orchestrator, found none");
    else if (options->vnf != NULL && !message_name_is_good(options->vnf))
        error_set(e, "vnf: found a name of %zu characters, expected 1 to 64 of A-Z a-z 0-9 . _ -",
                  strlen(options->vnf));
    else if (min != 0 && max != 0 && min > max)
        error_set(e, "back-off: found %" PRIu64 " to %" PRIu64 " ms, expected the lesser first", min, max);
    else
        return true;
    return false;
}

static bool set_up(struct rescale_session *session, const struct rescale_options *options, struct error *e)
{
    const struct rescale_link_owner owner = {on_connected, on_disconnected, on_line, session};
    uint32_t prefix;
    if (RAND_bytes((unsigned char *)&prefix, sizeof prefix) != 1 ||
        RAND_bytes((unsigned char *)&session->random, sizeof session->random) != 1) {
        error_set_openssl(e, "random numbers");
        return false;
    }
    session->random |= 1;
    (void)snprintf(session->id_prefix, sizeof session->id_prefix, "r%08" PRIx32, prefix);
    session->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    session->base = event_base_new();
    if (session->wake_fd >= 0 && session->base != NULL) {
        session->wake_event =
            event_new(session->base, session->wake_fd, EV_READ | EV_PERSIST, on_wake, session);
        session->timer = evtimer_new(session->base, on_timer, session);
    }
    if (session->wake_event == NULL || session->timer == NULL || event_add(session->wake_event, NULL) != 0) {
        error_set(e, "rescale: cannot make an event loop: %s", strerror(errno));
        return false;
    }
    session->link = rescale_link_create(session->base, options->address, options->tls, &owner, e);
    return session->link != NULL;
}

static bool start_thread(struct rescale_session *session, struct error *e)
{
    sigset_t old;
    thread_signals_block(&old);
    int rc = pthread_create(&session->thread, NULL, run, session);
    thread_signals_restore(&old);
    if (rc != 0)
        error_set(e, "rescale: cannot start a thread: %s", strerror(rc));
    else
        (void)pthread_setname_np(session->thread, "rescale");
    return rc == 0;
}

static void release(struct rescale_session *session)
{
    rescale_link_destroy(&session->link);
    if (session->wake_event != NULL)
        event_free(session->wake_event);
    if (session->timer != NULL)
        event_free(session->timer);
    if (session->base != NULL)
        event_base_free(session->base);
    if (session->wake_fd >= 0)
        (void)close(session->wake_fd);
    (void)pthread_mutex_destroy(&session->lock);
    free(session);
}

// One that is given moves the other's default.
static void preset_backoff(struct rescale_options *o)
{
    if (o->backoff_min_ms == 0)
        o->backoff_min_ms =
            o->backoff_max_ms != 0 && o->backoff_max_ms < BACKOFF_MIN_MS ? o->backoff_max_ms : BACKOFF_MIN_MS;
    if (o->backoff_max_ms == 0)
        o->backoff_max_ms = o->backoff_min_ms > BACKOFF_MAX_MS ? o->backoff_min_ms : BACKOFF_MAX_MS;
}

struct rescale_session *rescale_open(const struct rescale_options *options, struct error *e)
{
    if (!check_options(options, e))
        return NULL;
    struct rescale_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        error_set(e, "rescale: no memory");
        return NULL;
    }
    (void)pthread_mutex_init(&session->lock, NULL);
    session->wake_fd = -1;
    session->mail_tail = &session->mail;
    session->on_event = options->on_event;
    session->arg = options->arg;
    session->is_operator = options->vnf == NULL;
    if (set_up(session, options, e)) {
        struct rescale_options o = *options;
        const struct rescale_effects effects = {.connect = do_connect,
                                                .drop = do_drop,
                                                .send = do_send,
                                                .event = do_event,
                                                .random = do_random,
                                                .ended = do_ended,
                                                .arg = session};
        preset_backoff(&o);
        rescale_core_init(&session->core, &o, &effects, now_ms());
        if (start_thread(session, e))
            return session;
    }
    release(session);
    return NULL;
}

static void wake(const struct rescale_session *session)
{
    const uint64_t one = 1;
    ssize_t n;
    do
        n = write(session->wake_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

void rescale_close(struct rescale_session **sessionp)
{
    struct rescale_session *session = *sessionp;
    if (session == NULL)
        return;
    *sessionp = NULL;
    (void)pthread_mutex_lock(&session->lock);
    session->stopping = true;
    wake(session);
    (void)pthread_mutex_unlock(&session->lock);
    (void)pthread_join(session->thread, NULL);
    release(session);
}

// ---- asking

// Lock held. Finds a slot, and an id for who has none.
static bool take_slot(struct rescale_session *session, struct rescale_item *item, struct error *e)
{
    int free_slot = -1;
    for (int i = 0; i < OUTSTANDING_MAX; i++) {
        if (session->slots[i][0] == '\0')
            free_slot = i;
        else if (strcmp(session->slots[i], item->message.id) == 0) {
            error_set(e, "id: a request with this one is waiting already");
            return false;
        }
    }
    if (free_slot < 0) {
        error_set(e, "%d requests are waiting already", OUTSTANDING_MAX);
        return false;
    }
    if (item->message.id[0] == '\0')
        (void)snprintf(item->message.id, sizeof item->message.id, "%s-%" PRIu64, session->id_prefix,
                       ++session->asked);
    item->slot = (unsigned)free_slot;
    memcpy(session->slots[free_slot], item->message.id, sizeof item->message.id);
    return true;
}

bool rescale_submit(struct rescale_session *session, struct rescale_item *item, struct error *e)
{
    (void)pthread_mutex_lock(&session->lock);
    bool good = !session->stopping;
    if (!good)
        error_set(e, "closed");
    else if (item->message.type == MESSAGE_RESCALE)
        good = take_slot(session, item, e);
    if (good) {
        item->next = NULL;
        *session->mail_tail = item;
        session->mail_tail = &item->next;
        wake(session);
    }
    (void)pthread_mutex_unlock(&session->lock);
    if (!good)
        free(item);
    return good;
}

static bool ask(struct rescale_session *session, const char *vnf, const struct rescale_request *request,
                rescale_response_fn done, void *arg)
{
    struct rescale_item *item = rescale_item_create(vnf, request, NULL);
    if (item == NULL)
        return false;
    item->done = done;
    item->arg = arg;
    return rescale_submit(session, item, NULL);
}

bool rescale_async(struct rescale_session *session, const struct rescale_request *request,
                   rescale_response_fn done, void *arg)
{
    return !session->is_operator && ask(session, NULL, request, done, arg);
}

bool rescale_vnf_async(struct rescale_session *session, const char *vnf,
                       const struct rescale_request *request, rescale_response_fn done, void *arg)
{
    return session->is_operator && vnf != NULL && ask(session, vnf, request, done, arg);
}

void rescale_reclaiming(struct rescale_session *session, const char *id, enum message_state state,
                        uint64_t target_bytes)
{
    struct rescale_item *item = message_name_is_good(id) ? calloc(1, sizeof *item) : NULL;
    if (item == NULL)
        return; // the server takes silence for what it is: it does not count on this memory
    item->message.type = MESSAGE_RECLAIMING;
    (void)snprintf(item->message.id, sizeof item->message.id, "%s", id);
    item->message.state = state;
    item->message.target_bytes = target_bytes;
    (void)rescale_submit(session, item, NULL);
}

void rescale_get_stats(const struct rescale_session *session, struct rescale_stats *stats)
{
    const struct rescale_core *core = &session->core;
    stats->connects = atomic_load(&core->connects);
    stats->disconnects = atomic_load(&core->disconnects);
    stats->requests = atomic_load(&core->requests);
    stats->responses = atomic_load(&core->responses);
    stats->malformed = atomic_load(&core->malformed);
    stats->unexpected = atomic_load(&core->unexpected);
    stats->connected = atomic_load(&core->connected);
}
