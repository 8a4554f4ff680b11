#include "kvstore/kv_os.h"

#include <errno.h>
#include <sys/resource.h>
#include <time.h>

#define BACKGROUND_NICE 5

uint64_t kv_clock_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int kv_thread_start(pthread_t *thread, size_t stack_bytes, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error == 0) {
        error = pthread_attr_setstacksize(&attributes, stack_bytes);
        if (error == 0)
            error = pthread_create(thread, &attributes, fn, arg);
        (void)pthread_attr_destroy(&attributes);
    }
    // EINVAL: not even the thread-local data fit. The default stack is large, and costs what is touched.
    return error == EINVAL ? pthread_create(thread, NULL, fn, arg) : error;
}

void kv_thread_step_back(void)
{
    (void)setpriority(PRIO_PROCESS, 0, BACKGROUND_NICE); // Linux: of the calling thread alone
}
