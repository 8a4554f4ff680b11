// What checker and store process of kvsoak share: the keys and values, made from numbers, and the messages.
//
//   checker process                      SEQPACKET sockets              store process (killed and started again)
//   worker 0..n-1 (threads) ── one request, one answer at a time ──▶  one thread for each, calling kv_*
//   conductor ─────────────── open, limit, checkpoint, statistics ──▶  main thread
//   clock (shared page) ─────────────────────────────────────────────▶  kv_options.now_ms
//
// Values do not travel: a value is its id (never used twice) and its length, both sides make the same bytes
// of them, and the
// store process answers a read with length and digest of the bytes that it was given. A key is its index.
//
// A value of 24 bytes or more begins each of its blocks of 4 KiB with SOAK_MAGIC, its id and a sum, so that
// any piece of it that
// is left in a file or in memory can be found and named.
#ifndef MEC_TESTS_SOAK_H
#define MEC_TESTS_SOAK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvstore/kv.h"

#define SOAK_MAGIC     0x3a6b616f53764b1bu // 8 bytes that nothing else begins with
#define SOAK_BLOCK     4096u
#define SOAK_MARK      24u // magic, id, soak_mix(id)
#define SOAK_VALUE_MAX (8u << 20)
#define SOAK_BATCH     32u  // items of a request
#define SOAK_VISITS    192u // items of an answer

uint64_t soak_mix(uint64_t x);

// ---- keys and values (soak_value.c)

// Writes key `index` to buf (KV_KEY_MAX bytes) and returns its length: mostly short, some of kilobytes, a few
// of the most
// that a key may have.
size_t soak_key(uint32_t index, uint8_t *buf);
// The index of a key; UINT32_MAX: it is none of ours. scratch: KV_KEY_MAX bytes.
uint32_t soak_key_index(const void *key, size_t key_len, uint8_t *scratch);

void soak_value(uint64_t id, uint8_t *buf, size_t len);
uint64_t soak_digest(const void *bytes, size_t len);
// Of the value that an id and a length stand for.
uint64_t soak_value_digest(uint64_t id, size_t len);

// ---- messages

enum soak_op {
    SOAK_PUT, // flags: enum kv_put_flags
    SOAK_PUT_BATCH,
    SOAK_DELETE,
    SOAK_SET_EXPIRY,
    SOAK_SYNC,
    SOAK_GET, // item.len: the buffer's capacity
    SOAK_GET_ALLOC,
    SOAK_VIEW,
    SOAK_GET_BATCH,
    SOAK_GET_ASYNC,
    SOAK_EXISTS,
    SOAK_VERSION,
    SOAK_GET_EXPIRY,
    SOAK_HOLD,   // a view that is kept
    SOAK_LET_GO, // and looked at once more, then released
    SOAK_SCAN,   // arg: cursor; flags: count
    SOAK_OPEN,
    SOAK_CLOSE,
    SOAK_LIMIT, // arg: bytes
    SOAK_GOAL,  // arg: microseconds
    SOAK_CURVE,
    SOAK_CHECKPOINT,
    SOAK_STATS,
    SOAK_OPS
};
extern const char *const soak_op_names[SOAK_OPS];

// A status beside those of enum kv_status: the library has no such function.
#define SOAK_ABSENT 255

struct soak_item {
    uint32_t key;
    uint32_t len;
    uint64_t id, expire_ms;
};

struct soak_request {
    uint32_t op, flags, count, unused;
    uint64_t arg;
    union {
        struct soak_item items[SOAK_BATCH];
        struct kv_options open; // the clock is filled in by the store process
    };
};

struct soak_result {
    uint32_t key, status;
    uint64_t len, digest, version, expire_ms;
};

struct soak_answer {
    uint32_t op, status, count, unused;
    uint64_t value;  // cursor of a scan; of a limit: microseconds it took
    char error[256]; // kv_error_text(), when status is none of the harmless
    union {
        struct soak_result results[SOAK_VISITS];
        struct kv_stats stats;
    };
};

size_t soak_request_size(const struct soak_request *request);
size_t soak_answer_size(const struct soak_answer *answer);

// ---- the store process (soak_store.c)

// kvsoak --store-process FOLDER CLOCK-FD CONTROL-FD WORKER-FD...: serves until a socket is closed. argv as in
// main().
int soak_store_main(int argc, char **argv);

// What the threads of the store process share.
struct soak_store {
    const char *dir;
    const _Atomic uint64_t *clock;
    pthread_rwlock_t lock;  // held for writing while the main thread opens or closes
    struct kv_store *store; // NULL: not open
};

// One connection.
struct soak_conn {
    struct soak_store *shared;
    int fd;
    uint8_t *key, *scratch; // KV_KEY_MAX bytes each
    struct kv_view held;
    bool holds;
    struct soak_request request;
    struct soak_answer answer;
};

// Performs conn->request and fills conn->answer (soak_store_ops.c).
void soak_perform(struct soak_conn *conn);

#endif
