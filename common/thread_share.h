// A thread's share of the processors, where there are more threads that want to run than processors. Each is about the calling thread alone, asks for
// nothing that needs a privilege, and where the kernel does not know it, nothing changes.
#ifndef MEC_COMMON_THREAD_SHARE_H
#define MEC_COMMON_THREAD_SHARE_H

// It computes for long and somebody waits for it, but not for each of its moments: one of the other kind gets three times its share if it wants it
// (nice 5).
void thread_share_compute(void);
// It has little to do each time, and is to begin with it at once: it preempts those that compute, also within their slice (a slice of 0.1 ms:
// sched_setattr(2), for the ordinary policy since Linux 6.12).
void thread_share_prompt(void);

#endif
