// Schedules of rates: whatever parses has rates that are numbers and due times that do not go back.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "edge-sim/lookup_schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lookup_schedule schedule;
    struct error e;
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    if (lookup_schedule_parse(text, &schedule, &e)) {
        uint64_t last = 0;
        for (uint64_t n = 0; n < 2000; n++) {
            uint64_t due = lookup_schedule_due(&schedule, n < 1000 ? n : n * n * n);
            if (due < last)
                abort();
            last = due;
        }
        for (size_t i = 0; i < schedule.count; i++) {
            double rate = lookup_schedule_rate(&schedule, schedule.steps[i].at_ns);
            if (!(rate >= 0) || !(rate <= LOOKUP_RATE_MAX) || !isfinite(schedule.steps[i].first))
                abort();
        }
    }
    free(text);
    return 0;
}
