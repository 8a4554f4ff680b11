// A QEMU of its QMP alone, on the loop of the test: the answers are those that a real one (7.2) was seen to give. A guest that plugs and unplugs in steps, or not; and everything a
// broken one may do.
#ifndef MEC_TESTS_FAKE_QEMU_H
#define MEC_TESTS_FAKE_QEMU_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

enum fake_break { // when a command of that name comes
    FAKE_SOUND,
    FAKE_HANG,     // says nothing any more
    FAKE_DROP,     // ends the connection
    FAKE_GARBAGE,  // a line that is no JSON
    FAKE_ENDLESS,  // a line without end
    FAKE_ERROR,    // {"error": ...}
    FAKE_TWICE,    // answers twice
    FAKE_NO_ID,    // answers without the id, then with it
    FAKE_NONSENSE, // an answer that is JSON but of another kind
};

enum fake_unplug { FAKE_EJECT, FAKE_OST_REFUSES, FAKE_UNPLUG_ERROR, FAKE_GUEST_ERROR, FAKE_NO_ANSWER };

struct fake_dimm {
    char id[32], memdev[32];
    uint64_t bytes;
};

struct fake_qemu {
    struct event_base *base;
    char path[512], address[600];
    // what it is
    uint64_t base_bytes, max_bytes, block_bytes;
    uint64_t size, requested;
    struct fake_dimm dimms[8];
    unsigned dimm_count, slots;
    char objects[16][32];
    unsigned object_count;
    // how it behaves
    uint64_t step_bytes; // the guest moves so far at a time; 0: not at all
    uint64_t stop_at;    // the guest goes no further than this
    bool events;         // tells sizes by event
    bool no_greeting, no_device;
    const char *break_at; // the command that is treated so
    enum fake_break how;
    bool once; // only the first time
    enum fake_unplug unplug;
    const char *pinned; // a DIMM that is refused; all others are ejected
    // what has happened
    unsigned connections, commands, qom_sets;
    // inside
    struct evconnlistener *listener;
    struct bufferevent *client;
    struct event *guest;
};

// Fills the struct with 512 MB, a virtio-mem device of 8 GB in blocks of 2 MB, a guest that moves 256 MB at a time and tells it by events; fake_start() then listens on path.
void fake_init(struct fake_qemu *q, struct event_base *base, const char *path);
void fake_start(struct fake_qemu *q);
// Ends the connection and the listening, as a VM that ends. fake_start() begins again.
void fake_stop(struct fake_qemu *q);
// Sends a line to the client as it is.
void fake_say(struct fake_qemu *q, const char *line);
// Sets the size and tells it by an event.
void fake_resize(struct fake_qemu *q, uint64_t bytes);

#endif
