// What a worker of bench_respload does once it is connected: sends, receives, judges. Not for others.
#ifndef MEC_BENCH_RESPLOAD_LOOP_H
#define MEC_BENCH_RESPLOAD_LOOP_H

#include "tests/bench/redis/respload_conn.h"
#include "tests/bench/redis/respload_worker.h"

#define RESPLOAD_READ_BYTES (256u * 1024) // what one read takes at most
#define RESPLOAD_IDLE_NS    100000000u    // how long a loop sleeps with nothing due

struct respload_loop {
    struct respload_run *run;
    struct respload_counts *counts;
    struct respload_worker *worker;
    struct workload_draw draw;
    struct workload_random random; // which kind
    struct respload_conn *conns;
    unsigned conn_count, open, turn, in_flight;
    int epoll;
    uint8_t *in; // of all connections
    size_t in_capacity, value_max, command_max;
    uint64_t begun;              // open loop: also those of the warm-up
    uint64_t limit;              // of begun after the warm-up; UINT64_MAX: none
    uint64_t begun_measured;     // after the warm-up
    uint64_t measure_ns, end_ns; // end_ns: nothing is begun, or due, from here on
    uint64_t progress_ns;        // when the last reply came
};

// Keeps the first one.
void respload_note_trouble(struct respload_loop *loop, const char *text);

// From the run's start_ns until all is answered, or given up.
void respload_loop_run(struct respload_loop *loop);

// How long to wait for replies when the next command is due then (UINT64_MAX: none is). One that is due already waits for
// nothing but room on a connection.
uint64_t respload_sleep_ns(uint64_t due_ns, uint64_t now_ns, bool room);

#endif
