// What the engine's tests share: a folder of their own, short forms of the calls, raw looks at the files, and
// file functions that fail on command. Every helper fails the running test itself.
#ifndef MEC_TESTS_KV_KIT_H
#define MEC_TESTS_KV_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kvstore/kv.h"

// A new empty folder; kit_remove() removes it with all that is in it.
void kit_folder(char path[128]);
void kit_remove(const char *path);
// Copies the files of one store's folder into another, new one.
void kit_copy(const char *from, const char *to);

// fsync=always, small segments, 64 MiB of memory, the kit's clock.
struct kv_options kit_options(void);
// Unix milliseconds that the kit's clock shows; starts at 1,000,000.
extern _Atomic uint64_t kit_now_ms;

struct kv_store *kit_open(const char *dir, const struct kv_options *options);
void kit_close(struct kv_store **store);
void kit_put(struct kv_store *store, const char *key, const char *value);
// The key's value is this; NULL: it is not there.
void kit_expect(struct kv_store *store, const char *key, const char *value);
// The status of a get of any length.
enum kv_status kit_get_status(struct kv_store *store, const char *key);

// A sanitizer keeps memory of its own: resident sizes mean nothing.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define KIT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define KIT_SANITIZED 1
#endif
#endif
#ifndef KIT_SANITIZED
#define KIT_SANITIZED 0
#endif
#if defined(__SANITIZE_THREAD__)
#define KIT_RACES_ONLY 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KIT_RACES_ONLY 1
#endif
#endif
#ifndef KIT_RACES_ONLY
#define KIT_RACES_ONLY 0
#endif
// First in a long test that is one thread: ThreadSanitizer would be slow with it, and have nothing to say.
#define KIT_ONE_THREAD()                                                                                     \
    do {                                                                                                     \
        if (KIT_RACES_ONLY)                                                                                  \
            skip();                                                                                          \
    } while (0)

// ---- raw files

char *kit_segment_path(const char *dir, unsigned id, char path[192]);
// Reads a whole file (free()).
uint8_t *kit_read_file(const char *path, size_t *len);
void kit_write_file(const char *path, const void *data, size_t len);
// Removes the index snapshot: the next open reads every segment.
void kit_forget_index(const char *dir);
// How many of the store's segment files hold these bytes.
unsigned kit_files_with(const char *dir, const void *bytes, size_t len);

// ---- faults: the next calls of a kind fail with an errno value

enum kit_fault {
    KIT_WRITE,
    KIT_FDATASYNC,
    KIT_FSYNC,
    KIT_OPEN,
    KIT_RENAME,
    KIT_TRUNCATE,
    KIT_PREAD,
    KIT_FALLOCATE,
    KIT_WRITEBACK, // sync_file_range
    KIT_FAULTS
};
// Fails `count` calls (-1: all from now on) after `skip` that succeed. A failing write first writes `partial`
// bytes.
void kit_fail(enum kit_fault fault, int error, int skip, int count, size_t partial);
void kit_heal(void);
// Calls seen since kit_heal().
unsigned kit_calls(enum kit_fault fault);

#endif
