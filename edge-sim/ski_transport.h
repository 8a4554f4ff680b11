// What carries a SKI request to a key server and brings the answer back: an interface with one function.
// ski_client is the real one; tests plug in one of their own.
//
// A call is memory of the submitter. From submit until done() it belongs to the transport, which calls done()
// exactly once, on any thread, possibly before submit returns. The transport copies what it needs of
// `request` before submit returns.
#ifndef MEC_EDGE_SIM_SKI_TRANSPORT_H
#define MEC_EDGE_SIM_SKI_TRANSPORT_H

#include "edge-sim/ski_message.h"

struct ski_conn_slot;

struct ski_call {
    // Set by the submitter.
    struct ski_request request;
    unsigned timeout_ms; // 0: the transport's default
    void (*done)(struct ski_call *call);
    void *arg; // the submitter's own

    // Valid in done() and after. The output may be a premaster secret: the submitter wipes the call.
    enum ski_status status;
    size_t output_len;
    uint8_t output[SKI_OUTPUT_MAX];

    // The transport's own while the call is under way.
    struct ski_call *next, *prev; // by deadline
    struct ski_call *queue_next;
    uint64_t deadline_ns;
    uint64_t sent_ns; // 0: not sent yet
    struct ski_conn_slot *slot;
    bool retried;
    size_t wire_len;
    char wire[SKI_WIRE_MAX];
};

struct ski_transport {
    void (*submit)(struct ski_transport *transport, struct ski_call *call);
};

// Submits and waits for the end; done and arg are set by it. Never call it on a thread that the transport
// needs to make progress.
enum ski_status ski_transport_call(struct ski_transport *transport, struct ski_call *call);

#endif
