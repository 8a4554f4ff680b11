// Everything around a broker, played by chance: VNFs that ask, return, crash, come back, ignore reclaims and lie about what they have freed; back-ends that are
// slow, give a part, refuse, fail, say nothing, cannot be read, and are changed by others; a daemon that is held up; a book that cannot be written, or has been although it said no; VNFs whose back-end is another one after a restart; books of the version before; and the death of the broker between any two of
// its effects. After every step what must hold is checked. The same seed is the same schedule.
#ifndef MEC_TESTS_FAULT_WORLD_H
#define MEC_TESTS_FAULT_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scaleup/broker.h"

#define WORLD_VNFS    5
#define WORLD_REPORTS 64
#define WORLD_ASKS    256
#define WORLD_G       100ull
#define WORLD_MACHINE (1ull << 40) // what a back-end without a limit has

enum world_mood {
    MOOD_WELL,
    MOOD_PARTIAL,
    MOOD_REFUSES,
    MOOD_FAILS,
    MOOD_SILENT,
    MOOD_DEAF,
    MOOD_STRAY
}; // stray: of a daemon that has died

struct world_backend {
    uint64_t actual, reported, target, stop; // stop: MOOD_PARTIAL goes no further
    uint64_t id;                             // 0: nothing under way
    enum world_mood mood;
    bool outlives; // goes on when the daemon dies, as QEMU does
    bool unread;   // what it has said last is that it could not be read; it looks again
    bool moved;    // it is another one than the book is of, and has not said anything nor been told
    bool outside;  // somebody else has given it more than the book knows
    struct backend_report queue[WORLD_REPORTS];
    size_t queued;
};

struct world_vnf {
    uint64_t session, told, used;
    bool forced;        // of the configuration
    bool gone;          // its process has ended
    uint64_t asking;    // during a call: what it asks for
    uint64_t reclaimed; // it has been asked to come down to; 0: not
    message_name reclaim;
    message_name last;
    uint64_t last_target, last_min;
};

struct world_ask {
    uint64_t session;
    message_name id;
    unsigned asks, finals;
};

struct world {
    uint64_t random, seed;
    uint64_t now, next;
    struct broker *broker;
    struct broker_vnf config[WORLD_VNFS];
    struct broker_options options;
    struct book disk;
    struct world_vnf vnfs[WORLD_VNFS];
    struct world_backend backends[WORLD_VNFS];
    struct world_ask asks[WORLD_ASKS];
    size_t ask_count;
    uint64_t operator, sessions, ids, replaced;
    unsigned places; // that back-ends have been moved to
    bool faults;     // off: everything and everybody behaves
    bool torn;       // the disk has a book that the broker was told it has not
    bool left_out;   // of the configuration, one of them has been
    bool dead;       // killed; what it does has no effect any more
    unsigned die_in; // effects; 0: lives on
    uint64_t kills, records, reports;
    char wrong[256]; // "" or what does not hold
};

void world_create(struct world *world, uint64_t seed);
void world_destroy(struct world *world);
void world_step(struct world *world);
// Faults end; time passes until nothing should be open any more. What is left of it: world->wrong.
void world_converge(struct world *world);

#endif
