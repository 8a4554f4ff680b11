// The conductor: memory limits, checkpoints, the clock, kill -9 at random moments, pauses in which all is
// looked at.
#include "tests/soak/soak_check.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

static void nap_us(uint64_t us)
{
    (void)nanosleep(
        &(struct timespec){.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000}, NULL);
}

// ---- pauses

void soak_pause(struct soak_run *run)
{
    (void)pthread_mutex_lock(&run->gate_lock);
    run->paused = true;
    while (run->parked < run->options.workers)
        (void)pthread_cond_wait(&run->gate_changed, &run->gate_lock);
    (void)pthread_mutex_unlock(&run->gate_lock);
}

void soak_resume(struct soak_run *run)
{
    (void)pthread_mutex_lock(&run->gate_lock);
    run->paused = false;
    (void)pthread_cond_broadcast(&run->gate_changed);
    (void)pthread_mutex_unlock(&run->gate_lock);
}

// ---- requests

// The store process ended although nobody killed it.
static void died(struct soak_run *run)
{
    int status = 0;
    pid_t pid = run->pid != 0 ? waitpid(run->pid, &status, 0) : 0;
    run->pid = 0;
    if (pid > 0 && WIFSIGNALED(status))
        soak_differ(run, UINT32_MAX, "the store process died of signal %d (%s)", WTERMSIG(status),
                    strsignal(WTERMSIG(status)));
    else
        soak_differ(run, UINT32_MAX, "the store process ended with status %d", WEXITSTATUS(status));
}

bool soak_control(struct soak_run *run, enum soak_op op, uint64_t arg)
{
    struct soak_worker *control = &run->control;
    soak_request(control, op, 0, arg);
    if (!soak_ask(control)) {
        died(run);
        return false;
    }
    uint32_t status = control->answer.status;
    if (status == SOAK_ABSENT)
        atomic_store(&run->have[op], false);
    else if (status != KV_OK && !run->options.tolerate)
        soak_differ(run, UINT32_MAX, "%s: %s: %s", soak_op_names[op], kv_status_text((enum kv_status)status),
                    control->answer.error);
    return !soak_failed(run);
}

static uint64_t some_limit(struct soak_run *run)
{
    static const uint32_t mib[] = {0, 0, 0, 3, 8, 20, 64, 200, 500, 1500};
    uint64_t limit = (uint64_t)mib[soak_below(&run->control.random, 10)] * SOAK_MIB;
    limit += limit != 0 ? soak_below(&run->control.random, SOAK_MIB) : 0;
    return limit < run->options.limit_max ? limit : run->options.limit_max;
}

static bool change_limit(struct soak_run *run)
{
    uint64_t old = run->limit_bytes;
    run->limit_bytes = some_limit(run);
    if (!soak_control(run, SOAK_LIMIT, run->limit_bytes))
        return false;
    run->counts.limits++;
    uint64_t took = run->control.answer.value;
    run->counts.limit_us_max = took > run->counts.limit_us_max ? took : run->counts.limit_us_max;
    return run->limit_bytes >= old || soak_watch_limit(run);
}

static bool checkpoint(struct soak_run *run)
{
    run->counts.checkpoints++;
    return !atomic_load(&run->have[SOAK_CHECKPOINT]) || soak_control(run, SOAK_CHECKPOINT, 0);
}

static bool small_things(struct soak_run *run)
{
    uint64_t *random = &run->control.random;
    if (soak_chance(random, 3) && !soak_control(run, SOAK_GOAL, soak_below(random, 2) * 500))
        return false;
    return soak_control(run, SOAK_CURVE, 0) && soak_watch_growth(run);
}

static bool reopen(struct soak_run *run);

// A write failed: the store takes no more until it is opened anew.
static bool mend(struct soak_run *run)
{
    if (!run->options.tolerate)
        return true;
    if (!soak_control(run, SOAK_STATS, 0))
        return false;
    return !run->control.answer.stats.read_only || reopen(run);
}

static bool move_clock(struct soak_run *run)
{
    uint64_t *random = &run->control.random, now = atomic_load(run->clock.now);
    if (soak_chance(random, 200))
        now -= soak_below(random, 5000);
    else if (soak_chance(random, 200))
        now += soak_below(random, 60000);
    else
        now += soak_below(random, 300);
    soak_clock_set(run, now);
    return true;
}

// ---- opening

static struct kv_options some_options(struct soak_run *run)
{
    static const uint32_t dead[] = {0, 0, 30, 100}, segments[] = {1, 4, 16},
                          within_ms[] = {0, 0, 50, 3600000};
    uint64_t *random = &run->control.random;
    run->segment_bytes = run->options.segment_bytes != 0
                             ? run->options.segment_bytes
                             : (uint64_t)segments[soak_below(random, 3)] * SOAK_MIB;
    run->erase_within_ms = run->options.fsync == KV_FSYNC_ALWAYS ? 0 : within_ms[soak_below(random, 4)];
    return (struct kv_options){
        .limit_bytes = run->limit_bytes,
        .fsync = run->options.fsync,
        .fsync_interval_ms = 20 + (unsigned)soak_below(random, 500),
        .erase_within_ms = run->erase_within_ms,
        .segment_bytes = run->segment_bytes,
        .create = true,
        .read_mode = soak_chance(random, 3) ? KV_READ_PREAD : KV_READ_AUTO,
        .buffered_reads = soak_chance(random, 3),
        .latency_goal_us = soak_chance(random, 2) ? 0 : 500,
        .dead_percent = dead[soak_below(random, 4)],
        .compact_bytes_s = soak_chance(random, 2) ? 0 : 512u * SOAK_MIB,
        .checkpoint_bytes = soak_chance(random, 2) ? 0 : SOAK_MIB << soak_below(random, 5),
    };
}

// What the process's limits forbid, a process without them must be able to do. False: there were none.
static bool lift_limits(struct soak_run *run)
{
    struct soak_options *o = &run->options;
    bool had = (o->rlimit_fsize | o->rlimit_nofile | o->rlimit_as) != 0;
    o->rlimit_fsize = o->rlimit_nofile = o->rlimit_as = 0;
    return had;
}

bool soak_open(struct soak_run *run)
{
    uint64_t began = soak_now_us();
    run->control.request.open = some_options(run);
    if (!soak_control(run, SOAK_OPEN, 0))
        return false;
    uint64_t took = soak_now_us() - began;
    run->counts.open_us_max = took > run->counts.open_us_max ? took : run->counts.open_us_max;
    if (run->control.answer.status == KV_OK)
        return true;
    if (run->options.tolerate && lift_limits(run) && run->control.answer.error[0] != '\0') {
        atomic_fetch_add(&run->counts.tolerated, 1);
        soak_store_end(run);
        return !soak_failed(run) && soak_store_start(run) && soak_open(run);
    }
    soak_differ(run, UINT32_MAX, "open: %s", run->control.answer.error);
    return false;
}

// Sends a request of which the answer will not be seen.
static void begin_and_leave(struct soak_run *run, enum soak_op op, uint64_t arg)
{
    soak_request(&run->control, op, 0, arg);
    (void)send(run->control.fd, &run->control.request, soak_request_size(&run->control.request),
               MSG_NOSIGNAL);
}

// A store process with the store open, all workers parked. Now and then killed while it opens.
static bool start_and_open(struct soak_run *run)
{
    while (soak_store_start(run)) {
        if (run->counts.kills == 0 || !soak_chance(&run->control.random, 4)) {
            atomic_store(&run->lost, false);
            return soak_open(run) && soak_shared_settle(run);
        }
        run->control.request.open = some_options(run);
        begin_and_leave(run, SOAK_OPEN, 0);
        nap_us(soak_below(&run->control.random, 60000));
        soak_store_kill(run);
        run->counts.kills_opening++;
    }
    return false;
}

// Workers look at their keys, then go on.
static void resume_checked(struct soak_run *run, bool all)
{
    (void)pthread_mutex_lock(&run->gate_lock);
    run->epoch++;
    run->verify_all = all;
    (void)pthread_mutex_unlock(&run->gate_lock);
    soak_resume(run);
}

// ---- kill -9

static void kill_under_load(struct soak_run *run)
{
    uint64_t *random = &run->control.random;
    if (soak_chance(random, 3))
        begin_and_leave(run,
                        atomic_load(&run->have[SOAK_CHECKPOINT]) && soak_chance(random, 2) ? SOAK_CHECKPOINT
                                                                                           : SOAK_LIMIT,
                        run->limit_bytes / 2);
    nap_us(soak_below(random, 20000));
    soak_store_kill(run);
    soak_pause(run);
}

static void kill_paused(struct soak_run *run, bool closing)
{
    soak_pause(run);
    if (closing) {
        begin_and_leave(run, SOAK_CLOSE, 0);
        nap_us(soak_below(&run->control.random, 30000));
    }
    soak_store_kill(run);
}

static bool kill_and_restart(struct soak_run *run)
{
    uint64_t how = soak_below(&run->control.random, 6);
    run->counts.kills++;
    if (how == 0) {
        run->counts.kills_idle++;
        kill_paused(run, false);
    } else if (how == 1) {
        run->counts.kills_closing++;
        kill_paused(run, true);
    } else {
        kill_under_load(run);
    }
    if (soak_failed(run) || !start_and_open(run))
        return false;
    resume_checked(run, run->counts.kills % 8 == 0);
    return true;
}

static bool reopen(struct soak_run *run)
{
    soak_pause(run);
    run->counts.reopens++;
    if (atomic_load(&run->lost) || !soak_control(run, SOAK_CLOSE, 0))
        return false;
    if (soak_chance(&run->control.random, 2)) { // by a fresh process
        soak_store_end(run);
        if (soak_failed(run) || !soak_store_start(run))
            return false;
    }
    if (!soak_open(run) || !soak_shared_settle(run))
        return false;
    resume_checked(run, false);
    return true;
}

static bool pause_and_search(struct soak_run *run)
{
    soak_pause(run);
    bool ok =
        !atomic_load(&run->lost) && soak_shared_settle(run) && soak_search(run) && soak_watch_growth(run);
    soak_resume(run);
    return ok;
}

// ---- the run

struct event {
    bool (*act)(struct soak_run *run);
    double every; // seconds, about
    uint64_t next_us;
};

static void schedule(struct soak_run *run, struct event *event)
{
    double jitter = 0.5 + (double)soak_below(&run->control.random, 1000) / 1000;
    event->next_us = soak_now_us() + (uint64_t)(event->every * jitter * 1e6);
}

static bool due(struct soak_run *run, struct event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (soak_now_us() < events[i].next_us)
            continue;
        if (!events[i].act(run) || soak_failed(run))
            return false;
        schedule(run, &events[i]);
    }
    return true;
}

static bool all_checked(struct soak_run *run)
{
    (void)pthread_mutex_lock(&run->gate_lock);
    bool checked = true;
    for (uint32_t i = 0; i < run->options.workers; i++)
        checked = checked && run->workers[i].checked_epoch == run->epoch;
    (void)pthread_mutex_unlock(&run->gate_lock);
    return checked;
}

// After a last kill all keys are read, the files are searched, and space and counts have to be right.
static bool finish(struct soak_run *run)
{
    kill_under_load(run);
    run->counts.kills++;
    (void)lift_limits(run);
    if (soak_failed(run) || !start_and_open(run))
        return false;
    resume_checked(run, true);
    while (!all_checked(run) && !soak_failed(run) && !atomic_load(&run->lost))
        nap_us(20000);
    soak_pause(run);
    if (atomic_load(&run->lost) && !soak_failed(run))
        died(run);
    return !soak_failed(run) && soak_shared_settle(run) && soak_search(run) && soak_watch_end(run) &&
           soak_control(run, SOAK_CLOSE, 0);
}

bool soak_conduct(struct soak_run *run)
{
    double kills = run->options.kill_every;
    struct event events[] = {{move_clock, 0.05, 0},
                             {change_limit, 1, 0},
                             {checkpoint, 2, 0},
                             {small_things, 0.7, 0},
                             {pause_and_search, kills < 8 ? kills : 8, 0},
                             {mend, 0.5, 0},
                             {reopen, kills * 1.4, 0},
                             {kill_and_restart, kills, 0}};
    size_t count = sizeof events / sizeof events[0];
    uint64_t end = soak_now_us() + (uint64_t)(run->options.seconds * 1e6);
    soak_pause(run);
    bool ok = start_and_open(run);
    for (size_t i = 0; i < count; i++)
        schedule(run, &events[i]);
    if (ok)
        resume_checked(run, true);
    while (ok && soak_now_us() < end && !soak_failed(run)) {
        nap_us(10000);
        if (atomic_load(&run->lost)) {
            died(run);
            ok = false;
        } else {
            ok = due(run, events, count);
        }
    }
    return ok && !soak_failed(run) && finish(run);
}
