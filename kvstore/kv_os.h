// What the engine asks the system for, files aside (kv_io.h): the time that only goes forward, and threads.
#ifndef MEC_KVSTORE_KV_OS_H
#define MEC_KVSTORE_KV_OS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

// Nanoseconds of CLOCK_MONOTONIC.
uint64_t kv_clock_ns(void);

// Starts a thread with a stack of about so many bytes, or with a larger one: the program's thread-local data
// lie in the stack too. Returns 0 or an errno value.
int kv_thread_start(pthread_t *thread, size_t stack_bytes, void *(*fn)(void *), void *arg);

// The calling thread gives way, from now on, to those that somebody waits for: beside one of them it gets about a quarter of a core, and all of one that is idle.
void kv_thread_step_back(void);

#endif
