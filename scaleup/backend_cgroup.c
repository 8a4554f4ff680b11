// The limit of a control group. The files are read and written by a thread of each object's own, since setting a limit may make the kernel reclaim for seconds; what it finds
// goes through a mailbox and an eventfd to the loop. The thread also looks every poll interval whether the group has come, or its limit was changed by somebody else.
//
// Object and thread share `struct shared`, counted by references: destroying does not wait for a thread that is inside a write.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/units.h"
#include "common/thread_signals.h"
#include "scaleup/backend.h"
#include "scaleup/backend_mailbox.h"
#include "scaleup/backend_settings.h"
#include "scaleup/cgroup_change.h"

#define STEP_BYTES   (64ull << 20)
#define THREAD_STACK (256 * 1024) // two buffers of files on it

struct shared {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    // under the lock
    unsigned references;
    bool closed, change_wanted, measure_wanted;
    uint64_t change_id, target_bytes;
    struct mailbox box;
    // the same for good
    int wake_fd;
    uint64_t poll_ms;
    struct cgroup_group group;
    char path[CGROUP_PATH_MAX], root[BACKEND_VALUE_MAX];
    // the thread's alone
    uint64_t working_id;
    bool present;
    uint64_t last_limit; // that was reported
};

struct backend {
    struct shared *shared;
    struct event *woken;
    backend_report_fn report;
    void *arg;
};

static const char *const keys[] = {"path", "margin", "poll", "root", NULL};

static void release(struct shared *s)
{
    (void)pthread_mutex_lock(&s->lock);
    unsigned left = --s->references;
    (void)pthread_mutex_unlock(&s->lock);
    if (left)
        return;
    (void)close(s->wake_fd);
    (void)pthread_cond_destroy(&s->wake);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

// The folder is not there: nothing has a limit by it. Anything else that keeps it from being read (no descriptors, no memory, no right) says nothing of the limit.
static bool is_gone(const struct shared *s)
{
    return access(s->path, F_OK) != 0 && (errno == ENOENT || errno == ENODEV);
}

static void post(struct shared *s, enum mailbox_kind kind, struct backend_report report,
                 const struct cgroup_reading *reading)
{
    if (reading) {
        report.actual_bytes = cgroup_actual(&s->group, reading);
        report.used_bytes = cgroup_used(reading);
        report.unlimited = reading->limit_bytes == CGROUP_UNLIMITED;
        s->last_limit = reading->limit_bytes;
    } else {
        report.unknown = !is_gone(s);
    }
    (void)pthread_mutex_lock(&s->lock);
    if (kind == MAILBOX_TRUTH || report.change_id == s->change_id)
        mailbox_put(&s->box, kind, &report);
    (void)pthread_mutex_unlock(&s->lock);
    (void)eventfd_write(s->wake_fd, 1);
}

static bool go_on(void *arg)
{
    struct shared *s = arg;
    (void)pthread_mutex_lock(&s->lock);
    bool yes = !s->closed && !s->change_wanted;
    (void)pthread_mutex_unlock(&s->lock);
    return yes;
}

static void progress(void *arg, const struct cgroup_reading *reading)
{
    struct shared *s = arg;
    post(s, MAILBOX_CHANGE,
         (struct backend_report){.change_id = s->working_id, .outcome = BACKEND_PROGRESS, .detail = ""},
         reading);
}

static void carry_out(struct shared *s, uint64_t change_id, uint64_t target_bytes)
{
    struct cgroup_result result;
    s->working_id = change_id;
    if (!cgroup_change(&s->group, target_bytes, &result))
        return;
    s->present = result.known; // else what the next look finds is news
    post(
        s, MAILBOX_CHANGE,
        (struct backend_report){.change_id = change_id, .outcome = result.outcome, .detail = result.why.text},
        result.known ? &result.reading : NULL);
}

// Looks what is true; tells it when it is news, or when it was asked for.
static void look(struct shared *s, bool asked)
{
    struct cgroup_reading reading;
    struct error why;
    enum cgroup_version version = cgroup_find(s->path, &why);
    if (version == CGROUP_NONE || !cgroup_read(s->path, version, &reading, &why)) {
        s->present = false;
        if (asked)
            post(s, MAILBOX_TRUTH, (struct backend_report){.outcome = BACKEND_FAILED, .detail = why.text},
                 NULL);
        return;
    }
    bool news = !s->present || reading.limit_bytes != s->last_limit;
    s->present = true;
    if (news || asked)
        post(s, MAILBOX_TRUTH,
             (struct backend_report){
                 .outcome = BACKEND_CHANGED,
                 .detail = reading.limit_bytes == CGROUP_UNLIMITED ? "the group has no limit" : ""},
             &reading);
}

static void wait_for_work(struct shared *s)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(s->poll_ms / 1000);
    until.tv_nsec += (long)(s->poll_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!s->closed && !s->change_wanted && !s->measure_wanted)
        if (pthread_cond_timedwait(&s->wake, &s->lock, &until) == ETIMEDOUT)
            return;
}

static void *run(void *arg)
{
    struct shared *s = arg;
    (void)pthread_mutex_lock(&s->lock);
    while (!s->closed) {
        bool change = s->change_wanted, measure = s->measure_wanted;
        uint64_t id = s->change_id, target = s->target_bytes;
        s->change_wanted = s->measure_wanted = false;
        (void)pthread_mutex_unlock(&s->lock);
        if (change)
            carry_out(s, id, target);
        if (!change || measure)
            look(s, measure);
        (void)pthread_mutex_lock(&s->lock);
        wait_for_work(s);
    }
    (void)pthread_mutex_unlock(&s->lock);
    release(s);
    return NULL;
}

// One letter a call, so that the report may do with this object what it wants.
static void on_woken(evutil_socket_t fd, short what, void *arg)
{
    struct backend *b = arg;
    struct mailbox_letter letter;
    eventfd_t count;
    (void)what;
    (void)eventfd_read((int)fd, &count);
    (void)pthread_mutex_lock(&b->shared->lock);
    bool there = mailbox_take(&b->shared->box, &letter);
    (void)pthread_mutex_unlock(&b->shared->lock);
    if (!there)
        return;
    (void)eventfd_write((int)fd, 1);
    b->report(b->arg, &letter.report);
}

static void signal_thread(struct shared *s)
{
    (void)pthread_cond_signal(&s->wake);
    (void)pthread_mutex_unlock(&s->lock);
}

static void cgroup_set(struct backend *b, uint64_t change_id, uint64_t bytes)
{
    struct shared *s = b->shared;
    (void)pthread_mutex_lock(&s->lock);
    s->change_wanted = true;
    s->change_id = change_id;
    s->target_bytes = bytes;
    mailbox_drop(&s->box, MAILBOX_CHANGE);
    signal_thread(s);
}

static void cgroup_measure(struct backend *b)
{
    (void)pthread_mutex_lock(&b->shared->lock);
    b->shared->measure_wanted = true;
    signal_thread(b->shared);
}

static void cgroup_destroy(struct backend **backend)
{
    struct backend *b = *backend;
    if (!b)
        return;
    if (b->woken)
        event_free(b->woken);
    if (b->shared) {
        (void)pthread_mutex_lock(&b->shared->lock);
        b->shared->closed = true;
        signal_thread(b->shared);
        release(b->shared);
    }
    free(b);
    *backend = NULL;
}

static bool read_settings(struct shared *s, const char *settings, struct error *e)
{
    char path[BACKEND_VALUE_MAX];
    s->poll_ms = 1000;
    s->group.margin_bytes = 16ull << 20;
    if (!backend_settings_known(settings, keys, e) ||
        !backend_setting_size(settings, "margin", &s->group.margin_bytes, e) ||
        !backend_setting_ms(settings, "poll", &s->poll_ms, e))
        return false;
    if (!backend_setting(settings, "path", path, sizeof path) || path[0] != '/') {
        error_set(e, "cgroup back-end: path=/sys/fs/cgroup/... is needed: the group's folder");
        return false;
    }
    if (s->poll_ms < 10 || s->group.margin_bytes > 1ull << 50) {
        error_set(e, "cgroup back-end: poll is less than 10ms, or margin beyond all sense");
        return false;
    }
    (void)backend_setting(settings, "root", s->root, sizeof s->root);
    (void)snprintf(s->path, sizeof s->path, "%s%s", s->root, path);
    return true;
}

static struct shared *shared_create(const char *settings, uint64_t granularity, struct error *e)
{
    struct shared *s = calloc(1, sizeof *s);
    pthread_condattr_t attr;
    if (!s) {
        error_set(e, "cgroup back-end: out of memory");
        return NULL;
    }
    s->group = (struct cgroup_group){.path = s->path,
                                     .root = s->root,
                                     .step_bytes = STEP_BYTES,
                                     .granularity = granularity ? granularity : 1,
                                     .retries = 5,
                                     .retry_ms = 100,
                                     .go_on = go_on,
                                     .progress = progress,
                                     .arg = s};
    if (!read_settings(s, settings, e)) {
        free(s);
        return NULL;
    }
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (s->wake_fd < 0) {
        error_set(e, "cgroup back-end: eventfd: %s", strerror(errno));
        free(s);
        return NULL;
    }
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&s->lock, NULL);
    s->references = 1;
    return s;
}

// Signals are for the program's own threads.
static int start_thread(struct shared *s)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t before;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, THREAD_STACK);
    thread_signals_block(&before);
    s->references++;
    int error = pthread_create(&thread, &attr, run, s);
    if (error)
        s->references--;
    thread_signals_restore(&before);
    (void)pthread_attr_destroy(&attr);
    return error;
}

static struct backend *cgroup_create(const char *settings, uint64_t granularity, struct event_base *base,
                                     backend_report_fn on_report, void *arg, struct error *e)
{
    struct backend *b = calloc(1, sizeof *b);
    int error = ENOMEM;
    if (!b) {
        error_set(e, "cgroup back-end: out of memory");
        return NULL;
    }
    b->report = on_report;
    b->arg = arg;
    b->shared = shared_create(settings, granularity, e);
    if (!b->shared) {
        free(b);
        return NULL;
    }
    b->woken = event_new(base, b->shared->wake_fd, EV_READ | EV_PERSIST, on_woken, b);
    if (!b->woken || event_add(b->woken, NULL) != 0 || (error = start_thread(b->shared)) != 0) {
        error_set(e, "cgroup back-end: %s", strerror(error));
        cgroup_destroy(&b);
    }
    return b;
}

static const struct backend_identity identity[] = {{"path", ""}, {"root", ""}, {NULL, NULL}};

const struct backend_class backend_cgroup = {
    .name = "cgroup",
    .options = "path=/sys/fs/cgroup/... (the group's folder, version 1 or 2); margin=SIZE [16mb] left free "
               "above what is "
               "in use; poll=DURATION [1s] how often to look for changes from outside; root=FOLDER in front "
               "of all paths, for tests",
    .identity = identity,
    .create = cgroup_create,
    .destroy = cgroup_destroy,
    .set = cgroup_set,
    .measure = cgroup_measure,
};
