// A back-end under test: a loop, what it has reported, and waiting for more. Waits are generous: they end as soon as what they wait for is there.
#ifndef MEC_TESTS_BACKEND_KIT_H
#define MEC_TESTS_BACKEND_KIT_H

#include "scaleup/backend.h"

#define KIT_REPORTS 256
#define KIT_WAIT_S  60

struct kit_report {
    struct backend_report report; // detail points to text
    char text[512];
};

struct kit {
    struct event_base *base;
    const struct backend_class *class;
    struct backend *backend;
    struct kit_report reports[KIT_REPORTS];
    size_t count, seen;
    uint64_t next_id;
    void (*on_report)(struct kit *kit, const struct backend_report *report); // may be NULL
};

// A loop and an object of the class; ends the test when the settings are refused.
void kit_open(struct kit *kit, const struct backend_class *class, uint64_t granularity, const char *settings);
// The two halves of kit_open(), where something else has to be on the loop before.
void kit_begin(struct kit *kit);
void kit_make(struct kit *kit, const struct backend_class *class, uint64_t granularity, const char *settings);
void kit_close(struct kit *kit);

// Runs the loop until the next report that has not been seen; NULL: none came within so many milliseconds.
const struct backend_report *kit_next(struct kit *kit, unsigned ms);
// The next report must come and be of that outcome (PROGRESS is passed over, unless it is what is wanted; CHANGED too).
const struct backend_report *kit_expect(struct kit *kit, enum backend_outcome outcome);
// Begins a change and waits for its final report.
const struct backend_report *kit_set(struct kit *kit, uint64_t bytes);
// Nothing is reported for so long.
void kit_silence(struct kit *kit, unsigned ms);
// Runs the loop for some milliseconds.
void kit_run(struct kit *kit, unsigned ms);
// The settings must be refused, with that in the text.
void kit_refused(const struct backend_class *class, const char *settings, const char *why);

#endif
