// A session of librescale and the server that it talks to, which says what the test says; each test begins with a new server in a folder of its own.
#ifndef MEC_TESTS_RESCALE_SESSION_KIT_H
#define MEC_TESTS_RESCALE_SESSION_KIT_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include "rescale_kit.h"

#define MIB      ((uint64_t)1 << 20)
#define LEASE_MS 600000 // pings and dead peers play no part where this is
#define RESPONSE                                                                                             \
    "{\"type\":\"response\",\"id\":\"%s\",\"state\":\"%s\",\"final\":%s,\"granted_bytes\":%" PRIu64          \
    ",\"granularity\":2097152"

extern struct kit_server server;
extern struct kit_recorder recorder; // of events and responses

int kit_set_up(void **state);
int kit_tear_down(void **state);
#define KIT_TEST(name) cmocka_unit_test_setup_teardown(name, kit_set_up, kit_tear_down)

// vnf NULL: as an operator.
struct rescale_session *kit_open_as(const char *vnf);
// As ks1, and the server has said welcome.
struct rescale_session *kit_open_welcomed(void);
void kit_respond(const char *id, const char *state, bool final, uint64_t granted);
struct rescale_stats kit_stats_of(const struct rescale_session *session);
// The server has seen everything up to here, and so has the client: a request goes there and its answer comes back.
void kit_round_trip(struct rescale_session *session);

// One that waits for its answer in a thread of its own.
struct kit_asker {
    struct rescale_session *session;
    struct rescale_request request;
    struct response response;
};
void *kit_ask_one(void *arg); // a struct kit_asker: rescale()

#endif
