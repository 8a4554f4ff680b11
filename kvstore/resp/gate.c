#include "kvstore/resp/gate.h"

#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "kvstore/resp/command.h"
#include "kvstore/resp/handlers.h"

#define NS_OF_MS 1000000u

bool resp_pause_init(struct resp_pause *pause)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0)
        return false;
    bool made = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(&pause->changed, &attr) == 0;
    (void)pthread_condattr_destroy(&attr);
    if (made && pthread_mutex_init(&pause->lock, NULL) != 0) {
        (void)pthread_cond_destroy(&pause->changed);
        made = false;
    }
    return made;
}

void resp_pause_deinit(struct resp_pause *pause)
{
    (void)pthread_cond_destroy(&pause->changed);
    (void)pthread_mutex_destroy(&pause->lock);
}

void resp_pause_begin(struct resp_pause *pause, enum resp_pause_mode mode, uint64_t ms)
{
    uint64_t now_ns = clock_ns(), span_ns, until_ns;
    if (__builtin_mul_overflow(ms, NS_OF_MS, &span_ns) ||
        __builtin_add_overflow(now_ns, span_ns, &until_ns) || until_ns > INT64_MAX)
        until_ns = INT64_MAX; // 292 years
    (void)pthread_mutex_lock(&pause->lock);
    if (pause->until_ns <= now_ns) // the one before is over
        atomic_store(&pause->mode, RESP_PAUSE_NONE);
    if (pause->until_ns < until_ns)
        pause->until_ns = until_ns;
    if (atomic_load(&pause->mode) < (unsigned)mode && !pause->stopped)
        atomic_store(&pause->mode, (unsigned)mode);
    (void)pthread_cond_broadcast(&pause->changed);
    (void)pthread_mutex_unlock(&pause->lock);
}

static void end(struct resp_pause *pause, bool stop)
{
    (void)pthread_mutex_lock(&pause->lock);
    atomic_store(&pause->mode, RESP_PAUSE_NONE);
    pause->until_ns = 0;
    pause->stopped |= stop;
    (void)pthread_cond_broadcast(&pause->changed);
    (void)pthread_mutex_unlock(&pause->lock);
}

void resp_pause_end(struct resp_pause *pause)
{
    end(pause, false);
}

void resp_pause_stop(struct resp_pause *pause)
{
    end(pause, true);
}

// EXEC is held up by PAUSE WRITE whatever is queued: more than Redis does, and no write slips through.
static bool may_change(const struct resp_command *command)
{
    return (command->flags & RESP_CMD_WRITE) != 0 || strcmp(command->name, "exec") == 0 ||
           strcmp(command->name, "publish") == 0 || strcmp(command->name, "spublish") == 0;
}

static bool holds(struct resp_pause *pause, const struct resp_command *command)
{
    unsigned mode = atomic_load_explicit(&pause->mode, memory_order_relaxed);
    return mode == RESP_PAUSE_ALL || (mode == RESP_PAUSE_WRITE && may_change(command));
}

// The first who sees that a pause is over ends it. Under the lock.
static bool still_holds(struct resp_pause *pause, const struct resp_command *command)
{
    if (pause->until_ns <= clock_ns())
        atomic_store(&pause->mode, RESP_PAUSE_NONE);
    return holds(pause, command);
}

// Whether the command is to be tried again where it may wait.
static bool held_up(struct resp_call *call)
{
    struct resp_pause *pause = &call->session->shared->pause;
    (void)pthread_mutex_lock(&pause->lock);
    bool held = still_holds(pause, call->command);
    while (held && call->may_wait) {
        const struct timespec until = {.tv_sec = (time_t)(pause->until_ns / 1000000000u),
                                       .tv_nsec = (long)(pause->until_ns % 1000000000u)};
        atomic_fetch_add(&pause->waiting, 1);
        (void)pthread_cond_timedwait(&pause->changed, &pause->lock, &until);
        atomic_fetch_sub(&pause->waiting, 1);
        held = still_holds(pause, call->command);
    }
    (void)pthread_mutex_unlock(&pause->lock);
    return held;
}

enum resp_gate resp_gate_pass(struct resp_call *call)
{
    if (!resp_session_is_authenticated(call->session) && (call->command->flags & RESP_CMD_NO_AUTH) == 0) {
        resp_error(call->reply, "NOAUTH Authentication required.");
        return RESP_GATE_REFUSED;
    }
    // A primary's stream is not a client's: who holds it up loses the link.
    if (!call->session->from_primary && holds(&call->session->shared->pause, call->command) && held_up(call))
        return RESP_GATE_WAIT;
    return RESP_GATE_OPEN;
}

void resp_gate_reply(struct resp_session *session, struct resp_reply *reply, const struct resp_mark *mark)
{
    struct resp_manners *m = &session->manners;
    // Confirmations of subscriptions are messages, which go out all the same, as with Redis.
    if ((m->reply_off || m->reply_skip) && !session->reply_is_push)
        resp_reply_rewind(reply, mark);
    m->reply_skip = m->reply_skip_next;
    m->reply_skip_next = false;
}
