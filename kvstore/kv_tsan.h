// Whether ThreadSanitizer looks on: a few things it does not see (memory mapped by others' system calls, mremap()) or cannot take.
#ifndef KV_TSAN_H
#define KV_TSAN_H

#if defined(__SANITIZE_THREAD__)
#define KV_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KV_TSAN 1
#endif
#endif
#ifndef KV_TSAN
#define KV_TSAN 0
#endif

#endif
