// Whether an operation that comes would wait too long to be worth it: admission by the wait to be expected (OVERLOAD.md).
//
//   expected wait = operations in front of it x gap between operations that leave the queue while others wait
//
// The gap is measured, so that it holds whatever threads, batches, key sizes and neighbours on the machine make of it.
// The target is a few times what a thread needs for an operation, or a batch. A wait above the target is no
// overload yet: bursts may take longer, until the wait has been above the target all through an interval and has not fallen. From then on the target
// holds, until the wait has not been above it for an interval (after K. Nichols, V. Jacobson, "Controlling Queue Delay", 2012, and B. Maurer, "Fail at Scale", 2015).
//
// Numbers in, an answer out: no clock, no threads, no locks in here. Times in ns, of any clock that does not go back.
#ifndef MEC_KEYSERVER_ADMISSION_H
#define MEC_KEYSERVER_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADMISSION_QUEUES 2

struct admission {
    unsigned threads;
    uint64_t fixed_ns; // the target; 0: from what operations take
    // What threads do at once, an operation or a batch: averages of its time, of the square, and of the square times how many
    // of them a thread may have waiting.
    double unit_ns, unit_square, unit_depth;
    struct {
        double cost_ns; // average of an operation by itself, or its share of a batch
        double span_ns,
            span_ops;         // between two times that some left, and how many did: averages; 0: not known
        uint64_t taken_ns;    // the last one left then and others waited; 0: none did
        uint64_t since_ns;    // the wait is above the target since then; 0: it is not
        uint64_t above_ns;    // and was so last
        double since_wait_ns; // what the wait was at since_ns
    } queue[ADMISSION_QUEUES];
};

void admission_init(struct admission *a, unsigned threads, uint64_t fixed_ns);

// A thread is through with `count` operations of a queue, for which it needed cpu_ns of processor time: one after the
// other, or as one batch.
void admission_note_work(struct admission *a, unsigned queue, uint64_t cpu_ns, size_t count, bool batch);
// So many left the queue to be computed; `left` wait still.
void admission_note_taken(struct admission *a, unsigned queue, uint64_t now_ns, size_t count, size_t left);

// Whether one more may wait. waiting: operations in the queue; in_front: those that will be computed before it; left_ns: it is
// worth nothing if it waits longer; first: its edge has nothing else waiting, so it is a burst for itself and no queue of its
// edge's stands. Before anything was computed the answer is yes.
bool admission_admits(struct admission *a, unsigned queue, uint64_t now_ns, size_t waiting, size_t in_front,
                      bool first, uint64_t left_ns);

// How long operations may wait while the queue does not empty; 0: not known yet.
uint64_t admission_target_ns(const struct admission *a);

#endif
