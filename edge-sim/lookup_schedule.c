#include "edge-sim/lookup_schedule.h"

#include <math.h>
#include <string.h>

#include "common/units.h"

enum { ELEMENT_MAX = 64 };

// One "TIME=RATE" or "TIME~RATE".
static bool parse_element(const char *text, size_t len, uint64_t *at_ns, uint64_t *rate, bool *ramp)
{
    char copy[ELEMENT_MAX];
    uint64_t us;
    if (len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    char *sign = strpbrk(copy, "=~");
    if (sign == NULL)
        return false;
    *ramp = *sign == '~';
    *sign = '\0';
    if (!units_parse_duration(copy, &us) || !units_parse_uint(sign + 1, rate) || us > UINT64_MAX / 1000 ||
        *rate > LOOKUP_RATE_MAX)
        return false;
    *at_ns = us * 1000;
    return true;
}

// How many operations fall into the first ns of a step.
static double operations_in(const struct lookup_step *step, uint64_t ns)
{
    double s = (double)ns / 1e9;
    return s * (step->rate + step->slope * s / 2);
}

static bool append(struct lookup_schedule *schedule, uint64_t at_ns, uint64_t rate, bool ramp)
{
    struct lookup_step step = {.at_ns = at_ns, .rate = (double)rate};
    if (schedule->count == LOOKUP_STEPS_MAX || (schedule->count == 0 && (at_ns != 0 || ramp)))
        return false;
    if (schedule->count != 0) {
        struct lookup_step *last = &schedule->steps[schedule->count - 1];
        if (at_ns <= last->at_ns)
            return false;
        if (ramp)
            last->slope = (step.rate - last->rate) / ((double)(at_ns - last->at_ns) / 1e9);
        step.first = last->first + operations_in(last, at_ns - last->at_ns);
    }
    schedule->steps[schedule->count++] = step;
    return true;
}

bool lookup_schedule_parse(const char *text, struct lookup_schedule *schedule, struct error *e)
{
    *schedule = (struct lookup_schedule){0};
    for (const char *at = text;;) {
        size_t len = strcspn(at, ",");
        uint64_t at_ns, rate;
        bool ramp;
        if (!parse_element(at, len, &at_ns, &rate, &ramp) || !append(schedule, at_ns, rate, ramp)) {
            error_set(
                e, "found %.*s, expected TIME=RATE or TIME~RATE, rates up to %u, times rising from 0s=RATE",
                len < ELEMENT_MAX ? (int)len : ELEMENT_MAX, at, LOOKUP_RATE_MAX);
            return false;
        }
        if (at[len] == '\0')
            return true;
        at += len + 1;
    }
}

void lookup_schedule_constant(struct lookup_schedule *schedule, uint64_t rate)
{
    *schedule = (struct lookup_schedule){.count = 1, .steps = {{.rate = (double)rate}}};
}

double lookup_schedule_rate(const struct lookup_schedule *schedule, uint64_t at_ns)
{
    size_t i = schedule->count - 1;
    while (i > 0 && schedule->steps[i].at_ns > at_ns)
        i--;
    const struct lookup_step *step = &schedule->steps[i];
    return step->rate + step->slope * (double)(at_ns - step->at_ns) / 1e9;
}

uint64_t lookup_schedule_due(const struct lookup_schedule *schedule, uint64_t n)
{
    size_t i = schedule->count - 1;
    double number = (double)n;
    while (i > 0 && schedule->steps[i].first > number)
        i--;
    const struct lookup_step *step = &schedule->steps[i];
    double left = number - step->first;
    double square = step->rate * step->rate + 2 * step->slope * left; // of the rate at that moment
    double divisor = step->rate + sqrt(square > 0 ? square : 0);
    if (divisor <= 0) // a ramp that begins at 0, or a rate of 0 for ever
        return step->slope > 0 ? step->at_ns : UINT64_MAX;
    double ns = 2 * left / divisor * 1e9;
    uint64_t due = ns < 1e18 && (uint64_t)ns < UINT64_MAX - step->at_ns ? step->at_ns + (uint64_t)ns : UINT64_MAX;
    // the sums are rounded: not past what comes next
    return i + 1 < schedule->count && due > schedule->steps[i + 1].at_ns ? schedule->steps[i + 1].at_ns : due;
}
