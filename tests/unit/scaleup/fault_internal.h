// Shared by the files of the world; fault_world.h says what it is.
#ifndef MEC_TESTS_FAULT_INTERNAL_H
#define MEC_TESTS_FAULT_INTERNAL_H

#include <stdio.h>

#include "fault_world.h"

uint64_t world_below(struct world *w, uint64_t n);
bool world_one_in(struct world *w, uint64_t n);
bool world_fault(struct world *w, uint64_t n);
uint64_t world_down(uint64_t n);
uint64_t world_up(uint64_t n);
uint64_t world_least(uint64_t a, uint64_t b);
__attribute__((format(printf, 2, 3))) void world_wrong(struct world *w, const char *format, ...);
bool world_tracing(void);
void world_after(struct world *w);
const struct book_vnf *world_on_disk(const struct world *w, size_t i);
struct world_ask *world_ask_of(struct world *w, uint64_t session, const char *id);
void world_forget_session(struct world *w, uint64_t session);
bool world_on_record(void *arg, const struct book *book);
void world_on_send(void *arg, uint64_t session, const struct message *m);
void world_on_close(void *arg, uint64_t session);
void world_trace_book(const struct world *w);
bool world_killed(struct world *w);
void world_on_apply(void *arg, size_t i, uint64_t id, uint64_t bytes);
void world_queue_report(struct world *w, size_t i, uint64_t id, enum backend_outcome outcome,
                        uint64_t actual);
void world_backend_moves(struct world *w, size_t i);
void world_vnf_hello(struct world *w, size_t i);
void world_vnf_acts(struct world *w, size_t i);
void world_operator_acts(struct world *w);
void world_tell(struct world *w, uint64_t session, const struct message *m);

#define TRACE(...)                                                                                           \
    do {                                                                                                     \
        if (world_tracing()) {                                                                               \
            fprintf(stderr, "%llu ", (unsigned long long)w->now);                                            \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fputc('\n', stderr);                                                                             \
        }                                                                                                    \
    } while (0)
#define U (unsigned long long)

#endif
