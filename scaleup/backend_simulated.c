// A back-end without anything behind it: answers late, in part, not at all, as its settings say, by chance from a seed (the same settings and the same calls give the
// same answers) or by a script. What it has is a number; state=FILE keeps it over a restart of the daemon, as a real cgroup would.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scaleup/backend.h"
#include "scaleup/backend_settings.h"

#define SCRIPT_MAX 256

enum fate { FATE_DONE, FATE_PARTIAL, FATE_REFUSE, FATE_ERROR, FATE_SILENT };

struct step { // of a script
    enum fate fate;
    unsigned percent; // FATE_PARTIAL: how much of the way
};

struct backend {
    struct event *timer;   // the change that is under way
    struct event *measure; // a measurement that was asked for
    struct event *drift;   // the size is about to move by itself
    backend_report_fn report;
    void *arg;
    uint64_t granularity, delay_ms;
    uint64_t partial, refuse, error, silent, drifting; // percent
    uint64_t random;
    uint64_t actual, used; // bytes
    uint64_t change_id, target;
    struct step now;
    bool half_way; // the change has still to report its first half
    struct step script[SCRIPT_MAX];
    size_t script_len, script_at;
    char state_file[BACKEND_VALUE_MAX];
};

static const char *const keys[] = {"delay", "partial", "refuse", "error",  "silent", "drift",
                                   "seed",  "start",   "used",   "script", "state",  NULL};

// splitmix64: every seed is good, 0 too.
static uint64_t next_random(struct backend *b)
{
    uint64_t z = (b->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void arm(struct event *event, uint64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)event_add(event, &tv);
}

static void save(const struct backend *b)
{
    if (!b->state_file[0])
        return;
    char temporary[BACKEND_VALUE_MAX + 8];
    (void)snprintf(temporary, sizeof temporary, "%s.new", b->state_file);
    FILE *out = fopen(temporary, "we");
    if (!out)
        return;
    (void)fprintf(out, "%llu\n", (unsigned long long)b->actual);
    if (fclose(out) == 0)
        (void)rename(temporary, b->state_file);
}

static void load(struct backend *b)
{
    unsigned long long bytes;
    FILE *in = b->state_file[0] ? fopen(b->state_file, "re") : NULL;
    if (!in)
        return;
    if (fscanf(in, "%llu", &bytes) == 1)
        b->actual = bytes;
    (void)fclose(in);
}

static void tell(struct backend *b, enum backend_outcome outcome, uint64_t change_id, const char *detail)
{
    struct backend_report report = {.change_id = change_id,
                                    .outcome = outcome,
                                    .actual_bytes = b->actual,
                                    .used_bytes = b->used,
                                    .detail = detail};
    b->report(b->arg, &report);
}

// So many percent of the way from here to the target, in whole granules.
static uint64_t part_of_the_way(const struct backend *b, uint64_t percent)
{
    bool raise = b->target > b->actual;
    uint64_t way = raise ? b->target - b->actual : b->actual - b->target;
    uint64_t part = way / 100 * percent + way % 100 * percent / 100;
    part -= part % b->granularity;
    return raise ? b->actual + part : b->actual - part;
}

static void move_to(struct backend *b, uint64_t bytes)
{
    b->actual = bytes;
    save(b);
}

static void finish(struct backend *b)
{
    enum backend_outcome outcome = BACKEND_DONE;
    const char *detail = "";
    switch (b->now.fate) {
    case FATE_DONE:
        if (b->target < b->used) { // never below what is in use
            uint64_t floor = (b->used + b->granularity - 1) / b->granularity * b->granularity;
            move_to(b, floor < b->actual ? floor : b->actual);
            outcome = BACKEND_PARTIAL;
            detail = "simulated: in use";
        } else {
            move_to(b, b->target);
        }
        break;
    case FATE_PARTIAL:
        move_to(b, part_of_the_way(b, b->now.percent));
        outcome = BACKEND_PARTIAL;
        detail = "simulated: partial";
        break;
    case FATE_REFUSE:
        outcome = BACKEND_REFUSED;
        detail = "simulated: refused";
        break;
    case FATE_ERROR:
        outcome = BACKEND_FAILED;
        detail = "simulated: failed";
        break;
    case FATE_SILENT:
        return;
    }
    if (b->drifting && next_random(b) % 100 < b->drifting)
        arm(b->drift, b->delay_ms);
    tell(b, outcome, b->change_id, detail);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct backend *b = arg;
    (void)fd;
    (void)what;
    if (b->half_way) {
        b->half_way = false;
        arm(b->timer, b->delay_ms - b->delay_ms / 2);
        uint64_t half = part_of_the_way(b, 50);
        if (half != b->actual && half >= b->used) {
            move_to(b, half);
            tell(b, BACKEND_PROGRESS, b->change_id, "");
        }
        return;
    }
    finish(b);
}

static void on_measure(evutil_socket_t fd, short what, void *arg)
{
    struct backend *b = arg;
    (void)fd;
    (void)what;
    tell(b, BACKEND_CHANGED, 0, "");
}

// Somebody else takes or gives a granule.
static void on_drift(evutil_socket_t fd, short what, void *arg)
{
    struct backend *b = arg;
    (void)fd;
    (void)what;
    bool up = next_random(b) % 2 || b->actual < b->used + b->granularity || b->actual < b->granularity;
    move_to(b, up ? b->actual + b->granularity : b->actual - b->granularity);
    tell(b, BACKEND_CHANGED, 0, "simulated: drift");
}

static struct step choose(struct backend *b)
{
    if (b->script_at < b->script_len)
        return b->script[b->script_at++];
    uint64_t chance = next_random(b) % 100;
    uint64_t percent = next_random(b) % 100;
    if (chance < b->silent)
        return (struct step){FATE_SILENT, 0};
    if ((chance -= b->silent) < b->error)
        return (struct step){FATE_ERROR, 0};
    if ((chance -= b->error) < b->refuse)
        return (struct step){FATE_REFUSE, 0};
    if (chance - b->refuse < b->partial)
        return (struct step){FATE_PARTIAL, (unsigned)percent};
    return (struct step){FATE_DONE, 0};
}

static void simulated_set(struct backend *b, uint64_t change_id, uint64_t bytes)
{
    b->change_id = change_id;
    b->target = bytes;
    b->now = choose(b);
    b->half_way = b->now.fate == FATE_DONE && b->delay_ms > 1;
    arm(b->timer, b->half_way ? b->delay_ms / 2 : b->delay_ms);
}

static void simulated_measure(struct backend *b)
{
    arm(b->measure, 0);
}

static bool parse_step(const char *text, struct step *step)
{
    static const struct {
        const char *name;
        enum fate fate;
    } fates[] = {
        {"done", FATE_DONE}, {"refuse", FATE_REFUSE}, {"error", FATE_ERROR}, {"silent", FATE_SILENT}};
    for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++) {
        if (strcmp(text, fates[i].name) == 0) {
            *step = (struct step){fates[i].fate, 0};
            return true;
        }
    }
    unsigned percent;
    int end = 0;
    if (sscanf(text, "partial:%3u%n", &percent, &end) != 1 || text[end] || percent > 100)
        return false;
    *step = (struct step){FATE_PARTIAL, percent};
    return true;
}

static bool read_script(struct backend *b, const char *settings, struct error *e)
{
    char text[BACKEND_VALUE_MAX], *rest = NULL;
    if (!backend_setting(settings, "script", text, sizeof text))
        return true;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        if (b->script_len == SCRIPT_MAX || !parse_step(word, &b->script[b->script_len])) {
            error_set(e,
                      "back-end settings: script: step %zu: expected at most %d of done, partial:PERCENT, "
                      "refuse, error, silent",
                      b->script_len + 1, SCRIPT_MAX);
            return false;
        }
        b->script_len++;
    }
    return true;
}

static bool read_settings(struct backend *b, const char *s, struct error *e)
{
    if (!backend_settings_known(s, keys, e) || !backend_setting_ms(s, "delay", &b->delay_ms, e) ||
        !backend_setting_uint(s, "partial", 100, &b->partial, e) ||
        !backend_setting_uint(s, "refuse", 100, &b->refuse, e) ||
        !backend_setting_uint(s, "error", 100, &b->error, e) ||
        !backend_setting_uint(s, "silent", 100, &b->silent, e) ||
        !backend_setting_uint(s, "drift", 100, &b->drifting, e) ||
        !backend_setting_uint(s, "seed", UINT64_MAX, &b->random, e) ||
        !backend_setting_size(s, "start", &b->actual, e) || !backend_setting_size(s, "used", &b->used, e) ||
        !read_script(b, s, e))
        return false;
    if (b->partial + b->refuse + b->error + b->silent > 100) {
        error_set(e, "back-end settings: partial, refuse, error and silent are more than 100 in all");
        return false;
    }
    if (backend_setting(s, "state", b->state_file, sizeof b->state_file))
        load(b);
    return true;
}

static void simulated_destroy(struct backend **backend)
{
    struct backend *b = *backend;
    if (!b)
        return;
    struct event *events[] = {b->timer, b->measure, b->drift};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (events[i])
            event_free(events[i]);
    free(b);
    *backend = NULL;
}

static struct backend *simulated_create(const char *settings, uint64_t granularity, struct event_base *base,
                                        backend_report_fn on_report, void *arg, struct error *e)
{
    struct backend *b = calloc(1, sizeof *b);
    if (!b) {
        error_set(e, "simulated back-end: out of memory");
        return NULL;
    }
    b->report = on_report;
    b->arg = arg;
    b->granularity = granularity ? granularity : 1;
    if (!read_settings(b, settings, e)) {
        simulated_destroy(&b);
        return NULL;
    }
    b->timer = evtimer_new(base, on_timer, b);
    b->measure = evtimer_new(base, on_measure, b);
    b->drift = evtimer_new(base, on_drift, b);
    if (!b->timer || !b->measure || !b->drift) {
        error_set(e, "simulated back-end: out of memory");
        simulated_destroy(&b);
    }
    return b;
}

const struct backend_class backend_simulated = {
    .name = "simulated",
    .options = "delay=DURATION [0]; partial=, refuse=, error=, silent=, drift=PERCENT of the changes [0]; "
               "seed=NUMBER [0]; script=STEP,STEP... (done, partial:PERCENT, refuse, error, silent), then by "
               "chance; "
               "start=SIZE [0] and used=SIZE [0]; state=FILE keeps the size over a restart",
    .create = simulated_create,
    .destroy = simulated_destroy,
    .set = simulated_set,
    .measure = simulated_measure,
};
