// Many puts by few large writes.
//
//   fill    the next block: values copied and summed                    while the block before is being written
//   write   it gets its place, its heads, and goes to the writer threads as soon as the block before is in the file
//   index   the records of the block before: key looked up, memory, slot; what they replace will be erased
//
// So two buffers are enough to keep the device busy, and a record is in the index, for others to see, only when its bytes are
// in the file. The keys are looked up after the write, one by one in the caller's order: a key that comes twice in a batch is
// then nothing special. A record whose look-up fails (its key's old record cannot be read) is taken back by overwriting it.
//
// The values of new keys enter memory only while there is room: a bulk load makes nothing go that somebody asked for. The
// buffers are wiped at the end of each batch, given back a moment after the last one, and not dumped.
//
// From the first write to the last look-up the batch holds the gate alone, which is every shard's write lock; whenever
// somebody waits there it finishes what is under way and lets him through.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "kvstore/kv_write.h"

#define BUFFERS    2u
#define MOST       2048u // records in a block
#define REST_MS    100u  // buffers that have not been used for so long go back
#define LET_BY_US  20u
#define LET_BY_MAX 50u // times

struct turn {
    struct kv_block block;
    struct kv_put_op *puts;
    size_t count;
    size_t most; // bytes that a block of it had
};

struct batch {
    struct kv_store *store;
    struct kv_put_item *items;
    size_t count, next; // next: not yet in a block
    unsigned flags;
    struct turn turns[BUFFERS];
    struct turn *flying; // being written; the gate and the append lock are held
    uint64_t lsn;        // of the last record
    enum kv_status stop; // why nothing more is stored; KV_OK: go on
};

#define BYTES_SIZE (BUFFERS * (size_t)KV_BLOCK_BYTES)
#define PUTS_SIZE  (BUFFERS * MOST * sizeof(struct kv_put_op))

static uint64_t now_ms(void)
{
    return kv_clock_ns() / 1000000;
}

// ---- buffers, kept for a while. batch_lock is held.

static bool have_buffers(struct kv_store *store)
{
    if (store->batch_bytes != NULL)
        return true;
    void *p = mmap(NULL, BYTES_SIZE + PUTS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    (void)madvise(p, BYTES_SIZE + PUTS_SIZE, MADV_DONTDUMP);
    (void)madvise(p, BYTES_SIZE + PUTS_SIZE, MADV_HUGEPAGE);
    store->batch_bytes = p;
    kv_account(store, (int64_t)(BYTES_SIZE + PUTS_SIZE));
    return true;
}

void kv_batch_free(struct kv_store *store)
{
    if (store->batch_bytes == NULL)
        return;
    (void)munmap(store->batch_bytes, BYTES_SIZE + PUTS_SIZE);
    store->batch_bytes = NULL;
    kv_account(store, -(int64_t)(BYTES_SIZE + PUTS_SIZE));
}

void kv_batch_rest(struct kv_store *store)
{
    if (pthread_mutex_trylock(&store->batch_lock) != 0)
        return;
    if (now_ms() - store->batch_used_ms >= REST_MS)
        kv_batch_free(store);
    (void)pthread_mutex_unlock(&store->batch_lock);
}

// A block that fits in a segment, however small those are.
static size_t capacity_of(const struct kv_store *store)
{
    uint64_t most = store->options.segment_bytes / 4 & ~(uint64_t)(KV_BLOCK_ALIGN - 1);
    return most == 0 ? KV_BLOCK_ALIGN : most < KV_BLOCK_BYTES ? (size_t)most : KV_BLOCK_BYTES;
}

static void batch_init(struct batch *batch)
{
    uint8_t *bytes = batch->store->batch_bytes;
    struct kv_put_op *puts = (struct kv_put_op *)(void *)(bytes + BYTES_SIZE);
    for (size_t i = 0; i < BUFFERS; i++) {
        batch->turns[i].puts = puts + i * MOST;
        kv_block_reset(&batch->turns[i].block, bytes + i * KV_BLOCK_BYTES, capacity_of(batch->store));
    }
}

// ---- fill

// False: the item does not fit (any more). One that may not be put has its status, and no place.
static bool add(struct batch *batch, struct turn *turn, size_t index)
{
    struct kv_put_item *item = &batch->items[index];
    item->status = kv_write_check(batch->store, item->key_len, item->len);
    if (item->status != KV_OK)
        return true;
    if (turn->count == MOST)
        return false;
    struct kv_put_op *put = &turn->puts[turn->count];
    *put = kv_put_op_of(batch->store, item->key, item->key_len, item->value, item->len, item->expire_ms);
    put->index = index;
    put->bulk = true;
    if (!kv_block_add(batch->store, &turn->block, &put->item))
        return false;
    turn->count++;
    return true;
}

static void fill(struct batch *batch, struct turn *turn)
{
    kv_block_reset(&turn->block, turn->block.bytes, turn->block.capacity);
    turn->count = 0;
    while (batch->next < batch->count && add(batch, turn, batch->next))
        batch->next++;
    if (turn->block.len > turn->most)
        turn->most = turn->block.len;
}

// ---- write

static void fail_turn(struct batch *batch, struct turn *turn, enum kv_status status)
{
    for (size_t i = 0; i < turn->count; i++)
        batch->items[turn->puts[i].index].status = status;
    turn->count = 0;
    if (batch->stop == KV_OK)
        batch->stop = status;
}

// Waits for the block that is being written.
static void land(struct batch *batch)
{
    struct turn *turn = batch->flying;
    batch->flying = NULL;
    enum kv_status status =
        kv_block_end(batch->store, &turn->block, &turn->puts->item, sizeof *turn->puts, turn->count);
    if (status != KV_OK)
        fail_turn(batch, turn, status);
}

static void take_off(struct batch *batch, struct turn *turn)
{
    enum kv_status status = batch->stop;
    if (status == KV_OK)
        status =
            kv_block_begin(batch->store, &turn->block, &turn->puts->item, sizeof *turn->puts, turn->count);
    if (status == KV_OK)
        batch->flying = turn;
    else
        fail_turn(batch, turn, status);
}

// ---- index

// The record is in the file, but cannot be the key's: it must not be found at the next open either.
static void take_back(struct batch *batch, struct kv_put_op *put, enum kv_status status)
{
    const struct kv_append *append = &put->item.append;
    struct kv_erasure erasure = {.where = append->where,
                                 .value_len = append->record.value_len,
                                 .key_len = append->record.key_len,
                                 .whole = true};
    enum kv_status erased = kv_erase_place(batch->store, &erasure);
    batch->items[put->index].status = erased == KV_OK ? status : erased;
    batch->lsn = append->lsn; // the erasure has to last as well
}

static void index_one(struct batch *batch, struct kv_put_op *put)
{
    struct kv_store *store = batch->store;
    const struct kv_append *append = &put->item.append;
    enum kv_status status =
        kv_find_for_write(store, put->hash, append->key, append->record.key_len, &put->old);
    put->replaces = status == KV_OK;
    if (status == KV_NOT_FOUND)
        status = KV_OK;
    if (status == KV_OK && !kv_put_reserve(store, put))
        status = KV_NO_MEMORY;
    if (status != KV_OK) {
        take_back(batch, put, status);
        return;
    }
    kv_put_install(store, put);
    kv_put_release(store, put);
    batch->lsn = append->lsn;
}

static void index_turn(struct batch *batch, struct turn *turn)
{
    for (size_t i = 0; i < turn->count; i++)
        index_one(batch, &turn->puts[i]);
    turn->count = 0;
}

// ---- all

// Lets those through who wait at the gate: it is open, but they have to wake up.
static void let_by(struct kv_store *store)
{
    for (unsigned i = 0; i < LET_BY_MAX && atomic_load(&store->gate_waiting) > 0; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = LET_BY_US * 1000}, NULL);
}

// Everything that is under way, then the gate is opened.
static void drain(struct batch *batch)
{
    struct turn *turn = batch->flying;
    if (turn == NULL)
        return;
    land(batch);
    index_turn(batch, turn);
    (void)pthread_rwlock_unlock(&batch->store->write_gate);
    let_by(batch->store);
}

// A filled block's turn: the one before lands, this one takes off, and the one before is indexed meanwhile.
static void next_turn(struct batch *batch, struct turn *turn)
{
    struct turn *before = batch->flying;
    if (before != NULL)
        land(batch);
    else
        (void)pthread_rwlock_wrlock(&batch->store->write_gate);
    take_off(batch, turn);
    if (before != NULL)
        index_turn(batch, before);
    if (batch->flying == NULL)
        (void)pthread_rwlock_unlock(&batch->store->write_gate);
    else if (atomic_load(&batch->store->gate_waiting) > 0 || kv_is_behind(batch->store))
        drain(batch);
}

// An item that no block can hold, or one of a batch of conditional puts.
static void put_alone(struct batch *batch, size_t index)
{
    struct kv_put_item *item = &batch->items[index];
    item->status = kv_put(batch->store, item->key, item->key_len, item->value, item->len, item->expire_ms,
                          batch->flags | KV_PUT_NO_WAIT);
    if (item->status == KV_OK)
        batch->lsn = atomic_load(&batch->store->written_lsn);
    else if (item->status == KV_FULL ||
             atomic_load(&batch->store->read_only)) // else it is this key's trouble alone
        batch->stop = item->status;
}

static void run(struct batch *batch)
{
    while (batch->next < batch->count && batch->stop == KV_OK) {
        struct turn *turn = &batch->turns[batch->flying == &batch->turns[0] ? 1 : 0];
        size_t from = batch->next;
        fill(batch, turn);
        if (turn->count > 0) {
            next_turn(batch, turn);
        } else if (batch->next == from) { // nothing fits in an empty block
            drain(batch);
            if (batch->stop == KV_OK)
                put_alone(batch, batch->next++);
        }
        if (batch->flying == NULL && kv_is_behind(batch->store))
            (void)kv_catch_up(batch->store);
    }
    drain(batch);
}

// The buffers are kept for the next batch, the values not: one that is deleted now must not be found here.
static void wipe(struct batch *batch)
{
    for (size_t i = 0; i < BUFFERS; i++)
        explicit_bzero(batch->turns[i].block.bytes, batch->turns[i].most);
}

static void run_alone(struct batch *batch)
{
    while (batch->next < batch->count && batch->stop == KV_OK)
        put_alone(batch, batch->next++);
}

// The items that were not tried, and those whose sync failed.
static enum kv_status finish(struct batch *batch)
{
    for (size_t i = batch->next; i < batch->count; i++)
        batch->items[i].status = batch->stop;
    enum kv_status settled =
        batch->lsn != 0 ? kv_write_settle(batch->store, batch->lsn, batch->flags) : KV_OK;
    enum kv_status status = KV_OK;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->items[i].status == KV_OK)
            batch->items[i].status = settled;
        if (status == KV_OK)
            status = batch->items[i].status;
    }
    return status;
}

enum kv_status kv_put_batch(struct kv_store *store, struct kv_put_item *items, size_t count, unsigned flags)
{
    if (count == 0)
        return KV_OK;
    struct batch batch = {.store = store, .items = items, .count = count, .flags = flags};
    (void)pthread_mutex_lock(&store->batch_lock);
    bool alone = count == 1 || (flags & KV_PUT_IF_ABSENT) != 0 || !have_buffers(store);
    if (!alone) {
        batch_init(&batch);
        run(&batch);
        wipe(&batch);
        store->batch_used_ms = now_ms();
    }
    (void)pthread_mutex_unlock(&store->batch_lock);
    if (alone)
        run_alone(&batch);
    return finish(&batch);
}
