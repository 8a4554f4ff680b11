// Signals are for a program's main thread: the others are started with all of them blocked, but for those that a thread raises by what it
// does itself. Were these blocked, the kernel would end the process before a handler could tell why (SIGSYS: common/sandbox.h).
#ifndef MEC_COMMON_THREAD_SIGNALS_H
#define MEC_COMMON_THREAD_SIGNALS_H

#include <signal.h>

// Before pthread_create(); *before is what thread_signals_restore() takes behind it.
static inline void thread_signals_block(sigset_t *before)
{
    static const int own[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t blocked;
    (void)sigfillset(&blocked);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        (void)sigdelset(&blocked, own[i]);
    (void)pthread_sigmask(SIG_BLOCK, &blocked, before);
}

static inline void thread_signals_restore(const sigset_t *before)
{
    (void)pthread_sigmask(SIG_SETMASK, before, NULL);
}

#endif
