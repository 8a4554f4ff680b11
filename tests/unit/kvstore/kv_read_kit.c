#include "kv_read_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvstore/kv_io.h"

static const struct {
    const char *name;
    enum kv_read_mode mode;
    bool buffered;
} ways[READ_KIT_WAYS] = {
    {"io_uring, direct", KV_READ_URING, false}, {"io_uring, buffered", KV_READ_URING, true},
    {"threads, direct", KV_READ_PREAD, false},  {"threads, buffered", KV_READ_PREAD, true},
    {"automatic", KV_READ_AUTO, false},
};

const char *read_kit_way(unsigned way)
{
    return ways[way].name;
}

struct kv_options read_kit_options(unsigned way)
{
    struct kv_options options = kit_options();
    options.limit_bytes = 0;
    options.fsync = KV_FSYNC_INTERVAL;
    options.fsync_interval_ms = 20;
    options.segment_bytes = 1u << 20;
    options.read_mode = ways[way].mode;
    options.buffered_reads = ways[way].buffered;
    return options;
}

size_t read_kit_key(unsigned i, char key[32])
{
    return (size_t)snprintf(key, 32, "key-%u", i);
}

size_t read_kit_len(unsigned i, size_t len)
{
    return len + i % 97;
}

void read_kit_fill(unsigned i, unsigned generation, uint8_t *value, size_t len)
{
    uint32_t word = i * 2654435761u ^ generation * 40503u;
    for (size_t at = 0; at < len; at++)
        value[at] = (uint8_t)(word >> 8 * (at % 4)) ^ (uint8_t)(at / 4);
    if (len >= 8) {
        memcpy(value, &i, 4);
        memcpy(value + 4, &generation, 4);
    }
}

bool read_kit_is_value(unsigned i, const uint8_t *value, size_t len)
{
    unsigned generation;
    if (len < 8 || memcmp(value, &i, 4) != 0)
        return false;
    memcpy(&generation, value + 4, 4);
    uint8_t *want = malloc(len);
    read_kit_fill(i, generation, want, len);
    bool same = memcmp(want, value, len) == 0;
    free(want);
    return same;
}

void read_kit_put(struct kv_store *store, unsigned i, unsigned generation, size_t len)
{
    char key[32];
    size_t key_len = read_kit_key(i, key);
    uint8_t *value = malloc(len);
    read_kit_fill(i, generation, value, len);
    assert_int_equal(kv_put(store, key, key_len, value, len, 0, KV_PUT_NO_WAIT), KV_OK);
    free(value);
}

// ---- faults

static _Atomic enum read_kit_fault fault_kind;
static _Atomic unsigned fault_every, fault_reads;
static _Atomic int ring_errno, ring_times;

static ssize_t answer(int fd, void *buf, size_t len, off_t offset, ssize_t result)
{
    (void)fd;
    (void)len;
    (void)offset;
    enum read_kit_fault kind = atomic_load(&fault_kind);
    unsigned every = atomic_load(&fault_every);
    if (kind == READ_KIT_NONE || result <= 0 || atomic_fetch_add(&fault_reads, 1) % every != every - 1)
        return result;
    switch (kind) {
    case READ_KIT_EIO:
        return -EIO;
    case READ_KIT_EINVAL:
        return -EINVAL;
    case READ_KIT_SHORT:
        memset((uint8_t *)buf + (result + 1) / 2, 0x5a, (size_t)(result / 2));
        return (result + 1) / 2;
    case READ_KIT_EOF:
        return 0;
    default:
        ((uint8_t *)buf)[result / 2] ^= 4;
        return result;
    }
}

void read_kit_fault(enum read_kit_fault fault, unsigned every)
{
    atomic_store(&fault_every, every);
    atomic_store(&fault_reads, 0);
    atomic_store(&fault_kind, fault);
}

static int ring_fails(void)
{
    if (atomic_load(&ring_times) <= 0)
        return 0;
    atomic_fetch_sub(&ring_times, 1);
    return atomic_load(&ring_errno);
}

void read_kit_ring_error(int error, int times)
{
    atomic_store(&ring_errno, error);
    atomic_store(&ring_times, times);
}

// ---- store

static bool reads_directly(struct kv_store *store, unsigned key)
{
    struct kv_stats before, after;
    char name[32];
    uint8_t byte;
    size_t len = sizeof byte;
    kv_get_stats(store, &before);
    (void)kv_get(store, name, read_kit_key(key, name), &byte, &len);
    kv_get_stats(store, &after);
    return after.direct_reads > before.direct_reads;
}

// The sweeper opens sealed segments for direct reads; a file system without them never gets there.
static void await_direct(struct kv_store *store, unsigned keys)
{
    for (unsigned tries = 0; tries < 150 && !(reads_directly(store, 0) && reads_directly(store, keys / 2));
         tries++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

struct kv_store *read_kit_open(unsigned way, char dir[128], unsigned keys, size_t len)
{
    read_kit_fault(READ_KIT_NONE, 1);
    read_kit_ring_error(0, 0);
    kv_io.completed = answer;
    kv_io.ring_error = ring_fails;
    kit_folder(dir);
    struct kv_options options = read_kit_options(way);
    struct kv_store *store;
    char error[512];
    enum kv_status status = kv_open(dir, &options, &store, error, sizeof error);
    if (status == KV_IO && ways[way].mode == KV_READ_URING && strstr(error, "io_uring") != NULL) {
        print_message("%s: not to be had here: %s\n", ways[way].name, error);
        kit_remove(dir);
        return NULL;
    }
    if (status != KV_OK)
        fail_msg("%s: %s", ways[way].name, error);
    for (unsigned i = 0; i < keys; i++)
        read_kit_put(store, i, 0, read_kit_len(i, len));
    assert_int_equal(kv_sync(store), KV_OK);
    if (!ways[way].buffered && (uint64_t)keys * len > options.segment_bytes * 2)
        await_direct(store, keys);
    return store;
}

void read_kit_close(struct kv_store **store, const char *dir)
{
    read_kit_fault(READ_KIT_NONE, 1);
    read_kit_ring_error(0, 0);
    kit_close(store);
    kit_remove(dir);
    kv_io_reset();
}

void read_kit_each_way(char dir[128], unsigned keys, size_t len,
                       void (*test)(struct kv_store *store, const char *way))
{
    for (unsigned way = 0; way < READ_KIT_WAYS; way++) {
        struct kv_store *store = read_kit_open(way, dir, keys, len);
        if (store == NULL)
            continue;
        test(store, ways[way].name);
        read_kit_close(&store, dir);
    }
}
