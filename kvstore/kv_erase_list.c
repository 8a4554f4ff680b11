#include "kvstore/kv_erase_list.h"

#include <string.h>
#include <sys/mman.h>

#include "kvstore/kv_internal.h"

#define BLOCK_BYTES (64u * 1024)
#define HEAD_BYTES  32u
#define PAGE_BYTES  4096u
#define CAPACITY    ((BLOCK_BYTES - HEAD_BYTES) / KV_WAITING_BYTES)
#define LSN_BITS    48u
#define LSN_MASK    ((1ull << LSN_BITS) - 1)
#define UNREADABLE  (1ull << 60)
#define UNSURE      (1ull << 61)

struct waiting {
    uint64_t word; // as a slot's: place and size class; and the two flags above
    uint64_t when; // lsn, and above it the tick
};

struct kv_erase_block {
    struct kv_erase_block *next, *prev;
    uint64_t least_lsn; // none in it has a lesser one
    uint16_t first, count;
    uint32_t resident; // bytes of it that have been written to and count: all, unless it is the last
    struct waiting items[CAPACITY];
};
_Static_assert(sizeof(struct waiting) == KV_WAITING_BYTES, "what the bound counts with");
_Static_assert(sizeof(struct kv_erase_block) == BLOCK_BYTES, "whole pages");

static void set_count(struct kv_erase_list *list, size_t count)
{
    atomic_store_explicit(&list->count, count, memory_order_relaxed);
}

static uint64_t lsn_of(const struct waiting *item)
{
    return item->when & LSN_MASK;
}

static struct kv_erasure erasure_of(const struct waiting *item)
{
    return (struct kv_erasure){.where = kv_word_where(item->word),
                               .lsn = lsn_of(item),
                               .size_class = kv_word_class(item->word),
                               .unreadable = (item->word & UNREADABLE) != 0,
                               .by_head = (item->word & UNREADABLE) == 0,
                               .unsure = (item->word & UNSURE) != 0};
}

// ---- blocks

static struct kv_erase_block *add_block(struct kv_erase_list *list)
{
    void *p = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    struct kv_erase_block *block = p;
    block->least_lsn = UINT64_MAX;
    block->prev = list->last;
    if (list->last != NULL)
        list->last->next = block;
    else
        list->first = block;
    list->last = block;
    return block;
}

static void free_block(struct kv_store *store, struct kv_erase_block *block)
{
    kv_account(store, -(int64_t)block->resident);
    (void)munmap(block, BLOCK_BYTES);
}

static void drop_block(struct kv_store *store, struct kv_erase_list *list, struct kv_erase_block *block)
{
    for (size_t c = 0; c < KV_ERASE_CURSORS; c++)
        if (list->next[c] == block)
            list->next[c] = block->next;
    if (block->prev != NULL)
        block->prev->next = block->next;
    else
        list->first = block->next;
    if (block->next != NULL)
        block->next->prev = block->prev;
    else
        list->last = block->prev;
    free_block(store, block);
}

void kv_erase_list_free(struct kv_store *store, struct kv_erase_list *list)
{
    while (list->first != NULL) {
        struct kv_erase_block *block = list->first;
        list->first = block->next;
        free_block(store, block);
    }
    list->last = NULL;
    memset(list->next, 0, sizeof list->next);
    set_count(list, 0);
}

// ---- adding and taking

bool kv_erase_list_add(struct kv_store *store, struct kv_erase_list *list, const struct kv_erasure *erasure,
                       uint16_t tick)
{
    if (erasure->lsn > LSN_MASK)
        return false;
    struct kv_erase_block *block = list->last;
    if (block == NULL || block->first + block->count == CAPACITY)
        block = add_block(list);
    if (block == NULL)
        return false;
    size_t end = HEAD_BYTES + ((size_t)block->first + block->count + 1) * KV_WAITING_BYTES;
    if (end > block->resident) {
        kv_account(store, PAGE_BYTES);
        block->resident += PAGE_BYTES;
    }
    block->items[block->first + block->count++] =
        (struct waiting){.word = kv_word_make(erasure->size_class, erasure->where) |
                                 (erasure->unreadable ? UNREADABLE : 0) | (erasure->unsure ? UNSURE : 0),
                         .when = erasure->lsn | (uint64_t)tick << LSN_BITS};
    if (erasure->lsn < block->least_lsn)
        block->least_lsn = erasure->lsn;
    set_count(list, list->count + 1);
    return true;
}

static bool is_young(const struct waiting *item, const struct kv_due *due)
{
    return due->age != 0 && (uint16_t)(due->now - (uint16_t)(item->when >> LSN_BITS)) < due->age;
}

// From one block. *young: the rest of the list is too young.
static size_t take_from(struct kv_erase_block *block, const struct kv_due *due, struct kv_erasure *out,
                        size_t most, bool *young)
{
    struct waiting *items = block->items + block->first;
    uint64_t least = UINT64_MAX;
    size_t taken = 0, kept = 0, i = 0;
    for (; i < block->count && taken < most; i++) {
        *young = is_young(&items[i], due);
        if (*young)
            break;
        if (lsn_of(&items[i]) <= due->lsn) {
            out[taken++] = erasure_of(&items[i]);
            continue;
        }
        least = lsn_of(&items[i]) < least ? lsn_of(&items[i]) : least;
        items[kept++] = items[i];
    }
    if (i == block->count)
        block->least_lsn = least;
    memmove(&items[i - kept], items, kept * sizeof *items);
    block->first = (uint16_t)(block->first + i - kept);
    block->count = (uint16_t)(block->count - taken);
    return taken;
}

size_t kv_erase_list_take(struct kv_store *store, struct kv_erase_list *list, const struct kv_due *due,
                          struct kv_erasure *out, size_t most)
{
    size_t taken = 0;
    bool young = false;
    for (struct kv_erase_block *block = list->first, *next; block != NULL && taken < most && !young;
         block = next) {
        next = block->next;
        if (block->least_lsn > due->lsn) {
            young = is_young(&block->items[block->first], due);
            continue;
        }
        taken += take_from(block, due, out + taken, most - taken, &young);
        if (block->count == 0)
            drop_block(store, list, block);
    }
    set_count(list, list->count - taken);
    return taken;
}

// ---- walks

void kv_erase_list_begin(struct kv_erase_list *list, enum kv_erase_cursor cursor)
{
    list->next[cursor] = list->first;
}

static bool is_gone(const struct kv_gone *gone, uint64_t where)
{
    uint64_t id = kv_where_segment(where);
    size_t low = 0, high = gone->count;
    if (id > gone->newest)
        return false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (gone->segments[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low == gone->count || gone->segments[low].id != id ||
           kv_where_offset(where) < gone->segments[low].punched_to;
}

static size_t filter(struct kv_erase_block *block, const struct kv_gone *gone)
{
    struct waiting *items = block->items;
    uint64_t least = UINT64_MAX;
    uint16_t kept = 0;
    for (size_t i = block->first; i < (size_t)block->first + block->count; i++) {
        if (is_gone(gone, kv_word_where(items[i].word)))
            continue;
        least = lsn_of(&items[i]) < least ? lsn_of(&items[i]) : least;
        items[kept++] = items[i];
    }
    size_t dropped = block->count - kept;
    block->first = 0;
    block->count = kept;
    block->least_lsn = least;
    return dropped;
}

// The block before is filled up from this one. A walk that has not come to this one goes to that one again.
static void close_gap(struct kv_erase_list *list, struct kv_erase_block *block)
{
    struct kv_erase_block *prev = block->prev;
    if (prev == NULL || prev->count == CAPACITY)
        return;
    size_t room = CAPACITY - prev->count, move = room < block->count ? room : block->count;
    memmove(prev->items, prev->items + prev->first, prev->count * sizeof *prev->items);
    memcpy(prev->items + prev->count, block->items + block->first, move * sizeof *prev->items);
    prev->first = 0;
    prev->count = (uint16_t)(prev->count + move);
    prev->least_lsn = block->least_lsn < prev->least_lsn ? block->least_lsn : prev->least_lsn;
    block->first = (uint16_t)(block->first + move);
    block->count = (uint16_t)(block->count - move);
    if (list->next[KV_ERASE_EACH] == block)
        list->next[KV_ERASE_EACH] = prev;
}

bool kv_erase_list_sweep(struct kv_store *store, struct kv_erase_list *list, const struct kv_gone *gone)
{
    struct kv_erase_block *block = list->next[KV_ERASE_SWEEP];
    if (block == NULL)
        return false;
    list->next[KV_ERASE_SWEEP] = block->next;
    set_count(list, list->count - filter(block, gone));
    close_gap(list, block);
    if (block->count == 0)
        drop_block(store, list, block);
    return list->next[KV_ERASE_SWEEP] != NULL;
}

bool kv_erase_list_each(struct kv_erase_list *list, bool (*fn)(void *arg, const struct kv_erasure *erasure),
                        void *arg, bool *ok)
{
    struct kv_erase_block *block = list->next[KV_ERASE_EACH];
    if (block == NULL || !*ok)
        return false;
    list->next[KV_ERASE_EACH] = block->next;
    for (size_t i = 0; i < block->count && *ok; i++) {
        struct kv_erasure erasure = erasure_of(&block->items[block->first + i]);
        *ok = fn(arg, &erasure);
    }
    return *ok && list->next[KV_ERASE_EACH] != NULL;
}
