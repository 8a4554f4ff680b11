// librescale's core on a clock of the test's, with a link that does what the test says.
#ifndef MEC_TESTS_RESCALE_CORE_KIT_H
#define MEC_TESTS_RESCALE_CORE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "scaleup/rescale_core.h"

#define SENT_MAX  256
#define EVENT_MAX 256

// What the core has done, and the link that it thinks it has.
struct kit_world {
    struct rescale_core core;
    uint64_t now;
    bool up, connect_fails, send_fails;
    unsigned connects, drops, pings, ended;
    uint32_t random;
    struct message sent[SENT_MAX]; // pings left out
    unsigned sent_count;
    struct rescale_event events[EVENT_MAX];
    unsigned event_count;
    struct response last;
    unsigned interim, finals, statuses;
    message_text status_why;
};
extern struct kit_world w;

void kit_begin(const char *vnf); // anew, at time 1000
void kit_line(const char *text); // from the server
uint64_t kit_tick(void);
void kit_welcome_with(unsigned lease_ms); // connects, and is welcomed
void kit_ask(const char *id, uint64_t deadline_ms);
void kit_ask_status(uint64_t timeout_ms);
const struct message *kit_last_sent(enum message_type type);
const struct rescale_event *kit_last_event(enum rescale_event_type type);
// Connects until the next attempt, and says how long it was waited for.
uint64_t kit_next_attempt(void);

#endif
