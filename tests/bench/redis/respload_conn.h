// A connection of bench_respload: bytes that wait to be sent, the beginning of a reply that has not come
// whole, and the commands under way, oldest first. It judges nothing and counts nothing.
#ifndef MEC_BENCH_RESPLOAD_CONN_H
#define MEC_BENCH_RESPLOAD_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/net.h"
#include "common/report.h"
#include "tests/bench/redis/respload_worker.h"

struct respload_flight {
    uint64_t begin_ns, number; // number: of the key
    enum respload_kind kind;
};

struct respload_conn {
    int fd; // -1: closed
    bool watched_for_room;
    unsigned pipeline, head, count; // of flights
    struct respload_flight *flights;
    uint8_t *out, *rest;
    size_t out_at, out_len, out_capacity;
    size_t rest_len, rest_capacity;
};

enum respload_sent { RESPLOAD_SENT_ALL, RESPLOAD_SENT_SOME, RESPLOAD_SENT_FAILED };

// Connects, and waits for it. rest_capacity: the longest reply that is not whole. False and *e set: nothing
// to close.
bool respload_conn_open(struct respload_conn *conn, const struct net_addr *server, unsigned pipeline,
                        size_t command_max, size_t rest_capacity, struct error *e);
void respload_conn_close(struct respload_conn *conn);

// Closes, and frees what open made. A zeroed one is fine.
void respload_conn_release(struct respload_conn *conn);

// Where a command of at most `len` bytes can be written; there is room when fewer than `pipeline` are under
// way. Then its length and what it is:
uint8_t *respload_conn_room(struct respload_conn *conn, size_t len);
void respload_conn_sent(struct respload_conn *conn, size_t len, const struct respload_flight *flight);

// The oldest command under way, which is no longer. There must be one.
struct respload_flight respload_conn_answered(struct respload_conn *conn);

// SENT_FAILED: errno says why.
enum respload_sent respload_conn_flush(struct respload_conn *conn);

#endif
