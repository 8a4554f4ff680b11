// A broker with everything around it played by the test: sessions that keep what they were sent, back-ends that say what the test says, a book in memory
// that can refuse to be written. Each effect is checked as it happens: nothing is told or applied that the book does not have.
#ifndef MEC_TESTS_BROKER_KIT_H
#define MEC_TESTS_BROKER_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scaleup/broker.h"

#define KIT_VNFS     4
#define KIT_SENT     4096
#define KIT_SESSIONS 32
#define G            100ull // granularity

struct kit {
    struct broker *broker;
    struct broker_vnf vnfs[KIT_VNFS];
    struct broker_options options;
    struct book disk; // the last that was recorded
    bool disk_full;   // records fail
    unsigned records;
    char moved[1600]; // what was logged of a VNF whose back-end acts on something else; ""
    uint64_t now;
    struct {
        uint64_t session;
        struct message message;
    } sent[KIT_SENT];
    size_t sent_count, seen[KIT_SESSIONS]; // kit_next() looks from there
    uint64_t closed[64];
    size_t closed_count;
    struct {
        unsigned count;
        uint64_t id, bytes;
    } applied[KIT_VNFS];
};

// A pool of 1000 bytes in blocks of 100; VNFs a (priority 3), b (5), c (5), d (7) with minimum 100, maximum 800.
void kit_setup(struct kit *kit);
void kit_create(struct kit *kit); // from the book, as after a crash
void kit_destroy(struct kit *kit);
void kit_crash(struct kit *kit); // and come back
// The back-end does what it has been told.
void kit_done(struct kit *kit, size_t vnf);
void kit_report(struct kit *kit, size_t vnf, enum backend_outcome outcome, uint64_t actual);
void kit_changed(struct kit *kit, size_t vnf, uint64_t actual);
// It could not be read: the answer to what it was told (change), or to a question.
void kit_unknown(struct kit *kit, size_t vnf, enum backend_outcome outcome, bool change);
void kit_tick(struct kit *kit, uint64_t ms); // time passes
// Begun, minimums in place, a, b, c, d connected as sessions 1, 2, 3, 4 and an operator as 9; nothing seen of it.
void kit_begin(struct kit *kit);
void kit_hello(struct kit *kit, uint64_t session, const char *vnf); // NULL: operator
void kit_rescale(struct kit *kit, uint64_t session, const char *id, uint64_t target, uint64_t min);
void kit_rescale_with(struct kit *kit, uint64_t session, const struct message *message);
void kit_reclaiming(struct kit *kit, uint64_t session, const char *id, enum message_state state,
                    uint64_t target);
// The next message of that type that was sent to the session and not yet been looked at; fails if there is none.
const struct message *kit_next(struct kit *kit, uint64_t session, enum message_type type);
void kit_forget(struct kit *kit);                    // all that was sent has been looked at
bool kit_nothing(struct kit *kit, uint64_t session); // since what was seen last
void kit_expect(struct kit *kit, uint64_t session, const char *id, enum message_state state,
                uint64_t granted);
// Of VNF i, straight to its end.
void kit_give(struct kit *kit, size_t vnf, uint64_t bytes);

#endif
