// What the tests of reading share: a store with little memory, in each of the ways to read, with values that
// say whose they are, and a hook that changes what the disk answers.
#ifndef MEC_TESTS_KV_READ_KIT_H
#define MEC_TESTS_KV_READ_KIT_H

#include "kv_kit.h"

// io_uring and O_DIRECT; io_uring, page cache; threads and O_DIRECT; threads, page cache; and what the store
// chooses.
enum { READ_KIT_WAYS = 5 };
// Says which way it is, for messages.
const char *read_kit_way(unsigned way);
// Options for one: nothing fits in memory (limit 0), small segments, expired segments synced at once.
struct kv_options read_kit_options(unsigned way);

// Opens a store in a new folder with `keys` values of about `len` bytes (each another length), and waits
// until what is sealed is read the way that was asked for. Skips the test (returns NULL) where the system has
// no io_uring and it was asked for.
struct kv_store *read_kit_open(unsigned way, char dir[128], unsigned keys, size_t len);
void read_kit_close(struct kv_store **store, const char *dir);

// Runs a test on such a store in each of the ways.
void read_kit_each_way(char dir[128], unsigned keys, size_t len,
                       void (*test)(struct kv_store *store, const char *way));

size_t read_kit_key(unsigned i, char key[32]);
// The value of a key, of read_kit_len() bytes.
size_t read_kit_len(unsigned i, size_t len);
void read_kit_fill(unsigned i, unsigned generation, uint8_t *value, size_t len);
// Whether these bytes are one whole generation's value of this key.
bool read_kit_is_value(unsigned i, const uint8_t *value, size_t len);
void read_kit_put(struct kv_store *store, unsigned i, unsigned generation, size_t len);

// ---- the disk's answers

enum read_kit_fault {
    READ_KIT_NONE,
    READ_KIT_EIO,   // fails
    READ_KIT_SHORT, // comes back with a part
    READ_KIT_FLIP,  // a bit of the answer is wrong
    READ_KIT_EOF,   // nothing more in the file
    READ_KIT_EINVAL // what a file system says that does no direct reads; once per descriptor
};
// From now on each `every`th read of a record ends like this.
void read_kit_fault(enum read_kit_fault fault, unsigned every);
// The next calls of io_uring_enter fail with this errno value, `times` of them; 0: no more.
void read_kit_ring_error(int error, int times);

#endif
