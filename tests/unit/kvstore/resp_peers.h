// Several connections to the kit's commands (resp_kit.h): each with a session of its own, and with what was pushed to it.
#ifndef MEC_TESTS_RESP_PEERS_H
#define MEC_TESTS_RESP_PEERS_H

#include <pthread.h>

#include "kvstore/resp/message.h"
#include "tests/unit/kvstore/resp_kit.h"

struct peer {
    struct resp_session session; // first: push gets it
    struct resp_reply reply;
    pthread_mutex_t lock; // guards pushed: any thread pushes
    struct resp_message pushed;
    char *text; // of the last answer
    bool killed;
};

void peer_open(struct peer *peer);
void peer_close(struct peer *peer);

// Runs a line (words between blanks): its reply, and behind it what was pushed since the last time. Valid until the next one.
const char *peer_run(struct peer *peer, const char *line);
// Only what was pushed.
const char *peer_pushed(struct peer *peer);

#define SAYS(peer, line, reply) assert_string_equal(peer_run(peer, line), reply)
#define HEARS(peer, message)    assert_string_equal(peer_pushed(peer), message)

#endif
