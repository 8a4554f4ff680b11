// The SKI client of an edge: a pool of persistent, mutually authenticated TLS connections to one key server,
// many requests in flight on each, on an event loop and thread of its own. Any thread submits; done() is
// called on the loop's thread.
//
//   submit ──▶ inbox (lock, eventfd) ──▶ pending ──▶ connection with the fewest in flight ──▶ done()
//
// A call's fate
//   - its deadline passes: SKI_TIMEOUT when it had been sent, else SKI_UNREACHABLE. The answer, should it still come, is
//     read and dropped, since answers are told apart by their order alone. A connection that has been silent since such a
//     call was sent is given up.
//   - its connection dies before any byte of its answer: it is sent once more on another connection (both SKI
//     operations are idempotent); the second time it ends with SKI_UNREACHABLE.
//   - more than queue_max calls wait: SKI_BUSY at once.
// A lost connection is opened again after 50 ms, doubling up to 2 s while it does not get an answer, each
// with jitter.
//
// Caveat: done() runs on the loop: it must not block, and never make a blocking call through the same client.
#ifndef MEC_EDGE_SIM_SKI_CLIENT_H
#define MEC_EDGE_SIM_SKI_CLIENT_H

#include "common/report.h"
#include "common/tls.h"
#include "edge-sim/ski_transport.h"

struct ski_client;

struct ski_client_config {
    unsigned connections;        // 0: 2
    unsigned in_flight;          // requests under way on one connection; 0: 64
    unsigned timeout_ms;         // of a call that names none; 0: 5000
    unsigned connect_timeout_ms; // TCP and TLS handshake; 0: 5000
    unsigned queue_max;          // calls waiting for a connection; 0: 10000
};

struct ski_client_stats {
    uint64_t answered;   // calls that the key server answered, with whatever
    uint64_t unanswered; // calls that ended without an answer
    uint64_t retried;    // calls sent a second time
    uint64_t connected;  // connections opened since the start
    unsigned open;       // connections open now
};

// Resolves the name, loads the files and starts the thread; connections open in the background: an absent key
// server is no error here. NULL and *e set on failure. config may be NULL.
struct ski_client *ski_client_create(const char *url, const struct tls_files *files,
                                     const struct ski_client_config *config, struct error *e);

// Ends every call that is under way with SKI_STOPPED (in this call, on the loop's thread), stops the thread
// and frees. No other thread may submit any more. Sets *client to NULL; NULL is fine.
void ski_client_destroy(struct ski_client **client);

// For those who submit: valid as long as the client.
struct ski_transport *ski_client_transport(struct ski_client *client);

void ski_client_submit(struct ski_client *client, struct ski_call *call);

// Submits and waits. Not on the loop's thread.
enum ski_status ski_client_call(struct ski_client *client, struct ski_call *call);

void ski_client_stats(struct ski_client *client, struct ski_client_stats *stats);

#endif
