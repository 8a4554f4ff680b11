#include "kvstore/kv_format.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "kvstore/kv.h"
#include "kvstore/kv_bytes.h"

#define RECORD_MAGIC 0x3152564bu // "KVR1"
#define FIXED_FROM   8u
#define FIXED_TO     48u

static const uint8_t SEGMENT_MAGIC[8] = {'M', 'E', 'C', 'K', 'V', 'S', 'E', 'G'};
static const uint8_t MANIFEST_MAGIC[8] = {'M', 'E', 'C', 'K', 'V', 'M', 'A', 'N'};

struct kv_hash kv_hash_key(const struct kv_seeds *seeds, const void *key, size_t key_len)
{
    XXH128_hash_t h = XXH3_128bits_withSecret(key, key_len, seeds->hash_secret, sizeof seeds->hash_secret);
    return (struct kv_hash){.low = h.low64, .high = h.high64};
}

// ---- records

// The seed of a place's checksums. `what` keeps the different words of one record apart.
static uint64_t place_seed(const struct kv_seeds *seeds, struct kv_place place, uint64_t what)
{
    uint8_t bytes[24];
    kv_put64(bytes, place.segment);
    kv_put64(bytes + 8, place.offset);
    kv_put64(bytes + 16, what);
    return XXH3_64bits_withSeed(bytes, sizeof bytes, seeds->sum_seed);
}

enum { FOR_SUMS = 1, FOR_MARK = 2 };

static uint64_t head_sum(uint64_t seed, const uint8_t *head, const void *key, size_t key_len)
{
    return XXH3_64bits_withSeed(key, key_len, XXH3_64bits_withSeed(head, FIXED_TO, seed));
}

uint64_t kv_record_size(size_t key_len, size_t value_len)
{
    uint64_t size = (uint64_t)KV_RECORD_HEAD + key_len + value_len;
    return (size + KV_RECORD_ALIGN - 1) & ~(uint64_t)(KV_RECORD_ALIGN - 1);
}

uint64_t kv_value_sum(const struct kv_seeds *seeds, const void *value, size_t len)
{
    return XXH3_64bits_withSeed(value, len, seeds->sum_seed);
}

struct kv_sum_stream {
    XXH3_state_t *state;
};

struct kv_sum_stream *kv_sum_begin(const struct kv_seeds *seeds)
{
    struct kv_sum_stream *stream = malloc(sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->state = XXH3_createState();
    if (stream->state == NULL) {
        free(stream);
        return NULL;
    }
    (void)XXH3_64bits_reset_withSeed(stream->state, seeds->sum_seed);
    return stream;
}

void kv_sum_add(struct kv_sum_stream *stream, const void *data, size_t len)
{
    (void)XXH3_64bits_update(stream->state, data, len);
}

uint64_t kv_sum_end(struct kv_sum_stream *stream)
{
    uint64_t sum = XXH3_64bits_digest(stream->state);
    explicit_bzero(stream->state, sizeof *stream->state); // it buffers the end of the value
    (void)XXH3_freeState(stream->state);
    free(stream);
    return sum;
}

void kv_record_encode(const struct kv_seeds *seeds, struct kv_place place, const struct kv_record *record,
                      const void *key, uint8_t head[KV_RECORD_HEAD])
{
    uint64_t seed = place_seed(seeds, place, FOR_SUMS);
    kv_put32(head, RECORD_MAGIC);
    kv_put32(head + 8, record->value_len);
    kv_put16(head + 12, record->key_len);
    head[14] = (uint8_t)record->type;
    head[15] = 0;
    kv_put64(head + 16, record->seq);
    kv_put64(head + 24, record->expire_ms);
    kv_put64(head + 32, record->expire_seq);
    kv_put64(head + 40, record->type == KV_RECORD_EXPIRY ? record->target : record->value_sum);
    kv_put32(head + 4, (uint32_t)XXH3_64bits_withSeed(head + FIXED_FROM, FIXED_TO - FIXED_FROM, seed));
    kv_put64(head + 48, head_sum(seed, head, key, record->key_len));
    kv_put64(head + KV_ERASE_MARK_AT, 0);
}

bool kv_record_decode(const struct kv_seeds *seeds, struct kv_place place, const uint8_t head[KV_RECORD_HEAD],
                      struct kv_record *record)
{
    if (kv_get32(head) != RECORD_MAGIC)
        return false;
    uint64_t seed = place_seed(seeds, place, FOR_SUMS);
    if (kv_get32(head + 4) != (uint32_t)XXH3_64bits_withSeed(head + FIXED_FROM, FIXED_TO - FIXED_FROM, seed))
        return false;
    uint8_t type = head[14];
    *record = (struct kv_record){
        .type = (enum kv_record_type)type,
        .value_len = kv_get32(head + 8),
        .key_len = kv_get16(head + 12),
        .seq = kv_get64(head + 16),
        .expire_ms = kv_get64(head + 24),
        .expire_seq = kv_get64(head + 32),
        .value_sum = type == KV_RECORD_EXPIRY ? 0 : kv_get64(head + 40),
        .target = type == KV_RECORD_EXPIRY ? kv_get64(head + 40) : 0,
    };
    return type >= KV_RECORD_PUT && type <= KV_RECORD_EXPIRY && head[15] == 0 && record->key_len != 0 &&
           record->value_len <= KV_VALUE_MAX && (type == KV_RECORD_PUT || record->value_len == 0);
}

bool kv_record_key_holds(const struct kv_seeds *seeds, struct kv_place place,
                         const uint8_t head[KV_RECORD_HEAD], const void *key, size_t key_len)
{
    return kv_get64(head + 48) == head_sum(place_seed(seeds, place, FOR_SUMS), head, key, key_len);
}

// Bits are forced so that no single flip turns a mark into 0 or 0 into a mark.
static uint64_t mark_word(const struct kv_seeds *seeds, struct kv_place place)
{
    return place_seed(seeds, place, FOR_MARK) | 0x8000000000000101u;
}

uint64_t kv_erase_mark(const struct kv_seeds *seeds, struct kv_place place)
{
    return htole64(mark_word(seeds, place));
}

enum kv_mark kv_record_mark(const struct kv_seeds *seeds, struct kv_place place,
                            const uint8_t head[KV_RECORD_HEAD])
{
    uint64_t mark = kv_get64(head + KV_ERASE_MARK_AT);
    if (mark == 0)
        return KV_MARK_NONE;
    return mark == mark_word(seeds, place) ? KV_MARK_ERASED : KV_MARK_DAMAGED;
}

bool kv_mark_is_nearer_erased(const struct kv_seeds *seeds, struct kv_place place,
                              const uint8_t head[KV_RECORD_HEAD])
{
    uint64_t mark = kv_get64(head + KV_ERASE_MARK_AT);
    return __builtin_popcountll(mark ^ mark_word(seeds, place)) < __builtin_popcountll(mark);
}

bool kv_is_zero(const void *data, size_t len)
{
    const uint8_t *p = data;
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

// ---- segment header: 0 magic · 8 version · 12 length · 16 segment · 24 store id · 40 sum seed · 48 zeros · 56 sum

void kv_segment_encode(const struct kv_seeds *seeds, uint64_t segment, uint8_t head[KV_SEGMENT_HEAD])
{
    memset(head, 0, KV_SEGMENT_HEAD);
    memcpy(head, SEGMENT_MAGIC, sizeof SEGMENT_MAGIC);
    kv_put32(head + 8, KV_FORMAT_VERSION);
    kv_put32(head + 12, KV_SEGMENT_HEAD);
    kv_put64(head + 16, segment);
    memcpy(head + 24, seeds->store_id, sizeof seeds->store_id);
    kv_put64(head + 40, seeds->sum_seed);
    kv_put64(head + 56, XXH3_64bits_withSeed(head, 56, seeds->sum_seed));
}

bool kv_segment_decode(const struct kv_seeds *seeds, uint64_t segment, const uint8_t head[KV_SEGMENT_HEAD])
{
    uint8_t expected[KV_SEGMENT_HEAD];
    kv_segment_encode(seeds, segment, expected);
    return memcmp(head, expected, sizeof expected) == 0;
}

bool kv_segment_read_seeds(const uint8_t head[KV_SEGMENT_HEAD], uint64_t segment, struct kv_seeds *seeds)
{
    memcpy(seeds->store_id, head + 24, sizeof seeds->store_id);
    seeds->sum_seed = kv_get64(head + 40);
    return kv_segment_decode(seeds, segment, head);
}

// ---- manifest copy: 0 magic · 8 version · 12 length · 16 store id · 32 sum seed · 40 hash secret · 232 next segment ·
//      240 count · 248 segments, 16 bytes each: id, size · sum

#define MANIFEST_FIXED 248u
#define MANIFEST_ENTRY 16u

static size_t manifest_copy_size(size_t count)
{
    return MANIFEST_FIXED + count * MANIFEST_ENTRY + 8;
}

size_t kv_manifest_size(size_t count)
{
    return 2 * manifest_copy_size(count);
}

void kv_manifest_encode(const struct kv_manifest *manifest, uint8_t *out)
{
    size_t size = manifest_copy_size(manifest->count);
    memcpy(out, MANIFEST_MAGIC, sizeof MANIFEST_MAGIC);
    kv_put32(out + 8, KV_FORMAT_VERSION);
    kv_put32(out + 12, (uint32_t)size);
    memcpy(out + 16, manifest->seeds.store_id, KV_STORE_ID_BYTES);
    kv_put64(out + 32, manifest->seeds.sum_seed);
    memcpy(out + 40, manifest->seeds.hash_secret, KV_HASH_SECRET);
    kv_put64(out + 232, manifest->next_segment);
    kv_put64(out + 240, manifest->count);
    for (size_t i = 0; i < manifest->count; i++) {
        kv_put64(out + MANIFEST_FIXED + i * MANIFEST_ENTRY, manifest->segments[i].id);
        kv_put64(out + MANIFEST_FIXED + i * MANIFEST_ENTRY + 8, manifest->segments[i].size);
    }
    kv_put64(out + size - 8, XXH3_64bits(out, size - 8));
    memcpy(out + size, out, size);
}

static enum kv_manifest_fault decode_copy(const uint8_t *p, size_t size, struct kv_manifest *manifest,
                                          uint32_t *version)
{
    if (size < manifest_copy_size(0) || memcmp(p, MANIFEST_MAGIC, sizeof MANIFEST_MAGIC) != 0 ||
        kv_get32(p + 12) != size || kv_get64(p + size - 8) != XXH3_64bits(p, size - 8))
        return KV_MANIFEST_DAMAGED;
    *version = kv_get32(p + 8);
    if (*version != KV_FORMAT_VERSION)
        return KV_MANIFEST_VERSION;
    uint64_t count = kv_get64(p + 240);
    if (count > size / MANIFEST_ENTRY || manifest_copy_size((size_t)count) != size)
        return KV_MANIFEST_DAMAGED;
    *manifest = (struct kv_manifest){.next_segment = kv_get64(p + 232), .count = (size_t)count};
    memcpy(manifest->seeds.store_id, p + 16, KV_STORE_ID_BYTES);
    manifest->seeds.sum_seed = kv_get64(p + 32);
    memcpy(manifest->seeds.hash_secret, p + 40, KV_HASH_SECRET);
    manifest->capacity = manifest->count + 16;
    manifest->segments = calloc(manifest->capacity, sizeof *manifest->segments);
    if (manifest->segments == NULL)
        return KV_MANIFEST_NO_MEMORY;
    for (size_t i = 0; i < manifest->count; i++) {
        const uint8_t *entry = p + MANIFEST_FIXED + i * MANIFEST_ENTRY;
        uint64_t id = kv_get64(entry);
        manifest->segments[i] = (struct kv_manifest_segment){.id = id, .size = kv_get64(entry + 8)};
        if (id == 0 || id > KV_SEGMENT_ID_MAX || id >= manifest->next_segment ||
            (i > 0 && id <= manifest->segments[i - 1].id)) {
            free(manifest->segments);
            manifest->segments = NULL;
            return KV_MANIFEST_DAMAGED;
        }
    }
    return KV_MANIFEST_OK;
}

enum kv_manifest_fault kv_manifest_decode(const uint8_t *data, size_t len, struct kv_manifest *manifest,
                                          uint32_t *version)
{
    size_t claimed = len >= 16 ? kv_get32(data + 12) : 0; // so that a cut second copy does not matter
    enum kv_manifest_fault fault = KV_MANIFEST_DAMAGED;
    if (claimed <= len)
        fault = decode_copy(data, claimed, manifest, version);
    if (fault == KV_MANIFEST_DAMAGED)
        fault = decode_copy(data + len / 2, len - len / 2, manifest, version);
    return fault;
}

// ---- size classes: 5 bits of exponent and 3 of mantissa over units of 16 bytes, rounded up

static uint64_t class_units(unsigned c)
{
    unsigned exponent = c >> 3, mantissa = c & 7;
    return exponent == 0 ? mantissa : (uint64_t)(8 + mantissa) << (exponent - 1);
}

uint8_t kv_class_of(uint64_t record_size)
{
    uint64_t units = (record_size + KV_RECORD_ALIGN - 1) / KV_RECORD_ALIGN;
    unsigned c;
    if (units < 8) {
        c = (unsigned)units;
    } else {
        unsigned shift = 60u - (unsigned)__builtin_clzll(units); // leaves four significant bits
        c = ((shift + 1) << 3) + ((unsigned)(units >> shift) & 7);
        if (class_units(c) < units)
            c++;
    }
    return (uint8_t)c;
}

uint64_t kv_class_size(uint8_t size_class)
{
    return class_units(size_class) * KV_RECORD_ALIGN;
}

uint64_t kv_class_floor(uint8_t size_class)
{
    return size_class == 0 ? 0 : (class_units(size_class - 1u) + 1) * KV_RECORD_ALIGN;
}
