// The bytes of a store on disk: encoding, decoding and checking of record heads, segment headers and
// manifests. Pure: bytes in, bytes out; no files. FORMAT.md describes every byte. All integers are
// little-endian.
//
//   record  ┌ head (64 bytes) ┬ key ┬ value ┬ zeros up to a multiple of 16 ┐
//   head    0 magic · 4 fixed_sum · 8 value_len · 12 key_len · 14 type · 15 zero · 16 seq · 24 expire_ms · 32 expire_seq
//           40 value_sum, or the target of a change of expiry · 48 head_sum · 56 erase_mark
//
// Three checksums, so that damage stays where it is:
//   fixed_sum   the lengths and other fixed fields: when it holds, the next record's place is known
//   head_sum    the fixed fields and the key
//   value_sum   the value
// fixed_sum and head_sum are keyed with the store's secret seed and the record's own segment and offset:
// bytes inside a value that look like a record, made by whoever chose the value or copied from another place,
// are never taken for one.
//
// erase_mark is outside the sums: 0, or a keyed word of the record's place. It is written last when a value
// is erased. An erased record keeps its key and seq, and so still supersedes older records of its key.
#ifndef MEC_KVSTORE_KV_FORMAT_H
#define MEC_KVSTORE_KV_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_FORMAT_VERSION    2u
#define KV_RECORD_HEAD       64u
#define KV_RECORD_ALIGN      16u
#define KV_ERASE_MARK_AT     56u
#define KV_SEGMENT_HEAD      64u
#define KV_STORE_ID_BYTES    16u
#define KV_HASH_SECRET       192u
#define KV_SEGMENT_ID_MAX    ((1u << 26) - 1) // what a location in the index can hold
#define KV_SEGMENT_BYTES_MAX (1ull << 30)

// What makes a store's hashes and checksums its own. Made once, at random; kept in the manifest.
struct kv_seeds {
    uint8_t store_id[KV_STORE_ID_BYTES];
    uint64_t sum_seed;
    uint8_t hash_secret[KV_HASH_SECRET];
};

// 128 bits of keyed hash of a key; the index uses the low half.
struct kv_hash {
    uint64_t low, high;
};
struct kv_hash kv_hash_key(const struct kv_seeds *seeds, const void *key, size_t key_len);

enum kv_record_type {
    KV_RECORD_PUT = 1,
    KV_RECORD_TOMBSTONE = 2, // the key is gone as of seq; no value
    KV_RECORD_EXPIRY =
        3, // as of seq, expire_ms is the expiry of the put at `target`, and of that only; no value
};

struct kv_record {
    enum kv_record_type type;
    uint16_t key_len;
    uint32_t value_len;
    uint64_t seq;       // order of writes in the store; a copy made by compaction keeps it
    uint64_t expire_ms; // 0: never
    uint64_t
        expire_seq; // seq as of which expire_ms is right: the record's own, or that of a copy that merged a later change
    uint64_t value_sum; // 0 for a change of expiry
    // Of a change of expiry: the place of the record that it changes (kv_where_disk()), 0 otherwise. A place is used once, so it
    // tells a put from every other put of the key. A copy made by compaction lies in another place: the changes before it
    // are merged into it, those after it name it.
    uint64_t target;
};

// Where a record lies; its checksums are bound to it.
struct kv_place {
    uint64_t segment;
    uint64_t offset;
};

// Bytes that a record takes on disk, padding included.
uint64_t kv_record_size(size_t key_len, size_t value_len);

uint64_t kv_value_sum(const struct kv_seeds *seeds, const void *value, size_t len);

// The same over a value that comes in pieces.
struct kv_sum_stream;
struct kv_sum_stream *kv_sum_begin(const struct kv_seeds *seeds); // NULL: no memory
void kv_sum_add(struct kv_sum_stream *stream, const void *data, size_t len);
uint64_t kv_sum_end(struct kv_sum_stream *stream); // frees the stream

void kv_record_encode(const struct kv_seeds *seeds, struct kv_place place, const struct kv_record *record,
                      const void *key, uint8_t head[KV_RECORD_HEAD]);

// Reads the fixed fields. False: magic, fixed_sum or a field is wrong, and nothing in head may be believed.
bool kv_record_decode(const struct kv_seeds *seeds, struct kv_place place, const uint8_t head[KV_RECORD_HEAD],
                      struct kv_record *record);

// Whether head_sum holds for a head that kv_record_decode() accepted, and its key.
bool kv_record_key_holds(const struct kv_seeds *seeds, struct kv_place place,
                         const uint8_t head[KV_RECORD_HEAD], const void *key, size_t key_len);

enum kv_mark {
    KV_MARK_NONE,    // the value is there
    KV_MARK_ERASED,  // the value has been overwritten with zeros
    KV_MARK_DAMAGED, // neither: bits of the mark itself have changed
};
enum kv_mark kv_record_mark(const struct kv_seeds *seeds, struct kv_place place,
                            const uint8_t head[KV_RECORD_HEAD]);
// Of a damaged mark: which of the other two it has fewer bits off.
bool kv_mark_is_nearer_erased(const struct kv_seeds *seeds, struct kv_place place,
                              const uint8_t head[KV_RECORD_HEAD]);
uint64_t kv_erase_mark(const struct kv_seeds *seeds,
                       struct kv_place place); // little-endian word to write; never 0

bool kv_is_zero(const void *data, size_t len);

// A segment's header has the seed of the sums as well: from any segment whose header holds a lost manifest can be made
// again.
void kv_segment_encode(const struct kv_seeds *seeds, uint64_t segment, uint8_t head[KV_SEGMENT_HEAD]);
bool kv_segment_decode(const struct kv_seeds *seeds, uint64_t segment, const uint8_t head[KV_SEGMENT_HEAD]);

// What a header says by itself, without a manifest; false: it does not hold. Sets store_id and sum_seed of seeds.
bool kv_segment_read_seeds(const uint8_t head[KV_SEGMENT_HEAD], uint64_t segment, struct kv_seeds *seeds);

// ---- manifest: what a store is and which segments it lives in

struct kv_manifest_segment {
    uint64_t id;
    uint64_t
        size; // bytes of its file once nothing is appended any more and all of it is on the device; 0: open
};
struct kv_manifest {
    struct kv_seeds seeds;
    uint64_t next_segment;                // ids below it have been used
    struct kv_manifest_segment *segments; // live ones, by ascending id; owned
    size_t count, capacity;
};

// Bytes of a manifest file of so many segments. The file holds two copies of the same bytes: one damaged copy
// is survived.
size_t kv_manifest_size(size_t count);
void kv_manifest_encode(const struct kv_manifest *manifest, uint8_t *out);

enum kv_manifest_fault {
    KV_MANIFEST_OK,
    KV_MANIFEST_DAMAGED,
    KV_MANIFEST_VERSION, // another format version: *version says which
    KV_MANIFEST_NO_MEMORY,
};
// On success manifest->segments is allocated (free()).
enum kv_manifest_fault kv_manifest_decode(const uint8_t *data, size_t len, struct kv_manifest *manifest,
                                          uint32_t *version);

// ---- size classes: 8 bits that say how much to read for a record, at most an eighth more than it takes
uint8_t kv_class_of(uint64_t record_size);
uint64_t kv_class_size(uint8_t size_class);  // at least the size it was made of
uint64_t kv_class_floor(uint8_t size_class); // no record of the class is smaller

#endif
