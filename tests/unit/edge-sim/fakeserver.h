// A small SKI server on loopback for tests of clients: real mutual TLS, real answers from a kit_keyserver,
// and bad behaviour on demand. One thread per connection; requests are answered in order.
#ifndef MEC_TESTS_EDGE_SIM_FAKESERVER_H
#define MEC_TESTS_EDGE_SIM_FAKESERVER_H

#include "common/tls.h"
#include "testkit.h"

// A CA, a server certificate for 127.0.0.1 and an edge certificate, as files.
struct kit_pki {
    char *dir, *ca, *server_cert, *server_key, *edge_cert, *edge_key, *stranger_cert, *stranger_key;
};
void kit_pki_create(struct kit_pki *pki);
void kit_pki_remove(struct kit_pki *pki);
// What an edge shows; stranger: signed by a CA that the server does not know.
struct tls_files kit_edge_files(const struct kit_pki *pki);

enum fake_manner {
    FAKE_GOOD,
    FAKE_CLOSE_BEFORE, // reads requests and closes without an answer, each time
    FAKE_CLOSE_ONCE,   // the same, once in its life
    FAKE_CLOSE_MID,    // half an answer, then closes
    FAKE_GARBAGE,
    FAKE_NOT_JSON, // a sound HTTP answer with another body
    FAKE_SILENT,   // reads and never answers
    FAKE_HOLDS,    // answers when it behaves otherwise
    FAKE_COLLECTS, // until two requests have come before an answer: answers none that is alone; then good
    FAKE_BUSY,     // 503
    FAKE_TWICE,    // every answer twice
    FAKE_LAST,     // Connection: close after each answer
};

struct fake_server;

struct fake_server *fake_server_start(const struct kit_pki *pki, struct kit_keyserver *keys);
const char *fake_server_url(const struct fake_server *server);
void fake_server_behave(struct fake_server *server, enum fake_manner manner, unsigned delay_ms);
// Connections accepted and requests read so far.
unsigned fake_server_connections(const struct fake_server *server);
unsigned fake_server_resumed(const struct fake_server *server);
unsigned fake_server_requests(const struct fake_server *server);
// Most requests read before their answers were written (pipelining seen).
unsigned fake_server_most_waiting(const struct fake_server *server);
void fake_server_stop(struct fake_server **server);

#endif
