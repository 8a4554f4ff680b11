#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend_kit.h"
#include "common/clock.h"

#define TICK_MS  5
#define NS_IN_MS 1000000ull

static void on_report(void *arg, const struct backend_report *report)
{
    struct kit *kit = arg;
    assert_true(kit->count < KIT_REPORTS);
    struct kit_report *r = &kit->reports[kit->count++];
    r->report = *report;
    (void)snprintf(r->text, sizeof r->text, "%s", report->detail);
    r->report.detail = r->text;
    if (kit->on_report)
        kit->on_report(kit, report);
}

void kit_begin(struct kit *kit)
{
    *kit = (struct kit){.base = event_base_new(), .next_id = 100};
    assert_non_null(kit->base);
}

void kit_make(struct kit *kit, const struct backend_class *class, uint64_t granularity, const char *settings)
{
    struct error e = {""};
    kit->class = class;
    kit->backend = class->create(settings, granularity, kit->base, on_report, kit, &e);
    if (!kit->backend)
        fail_msg("%s", e.text);
}

void kit_open(struct kit *kit, const struct backend_class *class, uint64_t granularity, const char *settings)
{
    kit_begin(kit);
    kit_make(kit, class, granularity, settings);
}

void kit_close(struct kit *kit)
{
    kit->class->destroy(&kit->backend);
    assert_null(kit->backend);
    kit->class->destroy(&kit->backend);
    event_base_free(kit->base);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)event_base_loopbreak(arg);
}

static void run_once(struct kit *kit)
{
    struct timeval tv = {.tv_usec = TICK_MS * 1000};
    struct event *tick = evtimer_new(kit->base, on_tick, kit->base);
    assert_non_null(tick);
    (void)evtimer_add(tick, &tv);
    (void)event_base_loop(kit->base, EVLOOP_ONCE);
    event_free(tick);
}

void kit_run(struct kit *kit, unsigned ms)
{
    uint64_t end = clock_ns() + ms * 1000000ull;
    while (clock_ns() < end)
        run_once(kit);
}

const struct backend_report *kit_next(struct kit *kit, unsigned ms)
{
    // rounds are counted, each until something happens or for TICK_MS: a machine that stood still has made none
    for (uint64_t spent_ns = 0; kit->seen == kit->count && spent_ns < ms * NS_IN_MS;) {
        uint64_t begun_ns = clock_ns();
        run_once(kit);
        uint64_t took_ns = clock_ns() - begun_ns;
        spent_ns += took_ns < 10 * TICK_MS * NS_IN_MS ? took_ns : 10 * TICK_MS * NS_IN_MS;
    }
    return kit->seen < kit->count ? &kit->reports[kit->seen++].report : NULL;
}

const struct backend_report *kit_expect(struct kit *kit, enum backend_outcome outcome)
{
    for (;;) {
        const struct backend_report *r = kit_next(kit, KIT_WAIT_S * 1000);
        if (!r)
            fail_msg("no report within %d s, outcome %d expected", KIT_WAIT_S, (int)outcome);
        if (r->outcome != outcome && (r->outcome == BACKEND_PROGRESS || r->outcome == BACKEND_CHANGED))
            continue;
        if (r->outcome != outcome)
            fail_msg("outcome %d instead of %d: %s", (int)r->outcome, (int)outcome, r->detail);
        return r;
    }
}

const struct backend_report *kit_set(struct kit *kit, uint64_t bytes)
{
    uint64_t id = kit->next_id++;
    kit->class->set(kit->backend, id, bytes);
    for (;;) {
        const struct backend_report *r = kit_next(kit, KIT_WAIT_S * 1000);
        if (!r)
            fail_msg("no final report within %d s", KIT_WAIT_S);
        if (r->outcome == BACKEND_CHANGED || r->outcome == BACKEND_PROGRESS)
            continue;
        assert_int_equal(r->change_id, id);
        return r;
    }
}

void kit_silence(struct kit *kit, unsigned ms)
{
    const struct backend_report *r = kit_next(kit, ms);
    if (r)
        fail_msg("a report where none was expected: %d, %s", (int)r->outcome, r->detail);
}

void kit_refused(const struct backend_class *class, const char *settings, const char *why)
{
    struct error e = {""};
    struct event_base *base = event_base_new();
    assert_null(class->create(settings, 4096, base, on_report, NULL, &e));
    if (!strstr(e.text, why))
        fail_msg("'%s': found '%s', expected '%s' in it", settings, e.text, why);
    event_base_free(base);
}
