// The bytes on disk: what is encoded decodes to the same, and no single flipped bit goes unseen.
#include "kv_kit.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "kvstore/kv.h"
#include "kvstore/kv_format.h"
#include "kvstore/kv_table.h"

static struct kv_seeds seeds = {
    .store_id = "0123456789abcde", .sum_seed = 0x1122334455667788, .hash_secret = {7, 9}};
static const struct kv_place PLACE = {.segment = 5, .offset = 4096};

#define KEY   "a key"
#define VALUE "and its value"

struct bytes {
    uint8_t data[256];
    size_t len;
};

static struct bytes encode(struct kv_place place)
{
    struct kv_record record = {.type = KV_RECORD_PUT,
                               .key_len = sizeof KEY - 1,
                               .value_len = sizeof VALUE - 1,
                               .seq = 77,
                               .expire_ms = 99,
                               .expire_seq = 78,
                               .value_sum = kv_value_sum(&seeds, VALUE, sizeof VALUE - 1)};
    struct bytes b = {.len = (size_t)kv_record_size(record.key_len, record.value_len)};
    kv_record_encode(&seeds, place, &record, KEY, b.data);
    memcpy(b.data + KV_RECORD_HEAD, KEY, record.key_len);
    memcpy(b.data + KV_RECORD_HEAD + record.key_len, VALUE, record.value_len);
    return b;
}

// Everything that holds of a sound record that has not been erased.
static bool sound(const struct bytes *b, struct kv_place place, struct kv_record *record)
{
    if (!kv_record_decode(&seeds, place, b->data, record) ||
        record->key_len + record->value_len > sizeof b->data - KV_RECORD_HEAD)
        return false;
    const uint8_t *key = b->data + KV_RECORD_HEAD, *value = key + record->key_len;
    size_t end = (size_t)KV_RECORD_HEAD + record->key_len + record->value_len;
    return kv_record_key_holds(&seeds, place, b->data, key, record->key_len) &&
           kv_record_mark(&seeds, place, b->data) == KV_MARK_NONE &&
           kv_value_sum(&seeds, value, record->value_len) == record->value_sum &&
           kv_is_zero(b->data + end, b->len - end);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct bytes b = encode(PLACE);
    struct kv_record r;
    assert_true(sound(&b, PLACE, &r));
    assert_int_equal(r.type, KV_RECORD_PUT);
    assert_int_equal(r.key_len, sizeof KEY - 1);
    assert_int_equal(r.value_len, sizeof VALUE - 1);
    assert_int_equal(r.seq, 77);
    assert_int_equal(r.expire_ms, 99);
    assert_int_equal(r.expire_seq, 78);
    assert_int_equal(b.len % KV_RECORD_ALIGN, 0);
}

// A change of expiry names the record that it is for where others have the sum of their value.
static void test_change_of_expiry(void **state)
{
    (void)state;
    struct kv_record record = {.type = KV_RECORD_EXPIRY,
                               .key_len = sizeof KEY - 1,
                               .seq = 80,
                               .expire_ms = 5,
                               .expire_seq = 80,
                               .target = 0x123456789abcd};
    uint8_t head[KV_RECORD_HEAD];
    kv_record_encode(&seeds, PLACE, &record, KEY, head);
    struct kv_record got;
    assert_true(kv_record_decode(&seeds, PLACE, head, &got));
    assert_int_equal(got.type, KV_RECORD_EXPIRY);
    assert_int_equal(got.target, record.target);
    assert_int_equal(got.value_sum, 0);
    struct bytes put = encode(PLACE);
    assert_true(kv_record_decode(&seeds, PLACE, put.data, &got));
    assert_int_equal(got.target, 0);
}

// A record whose sums hold is none all the same when it says that it is longer than any can be.
static void test_too_long(void **state)
{
    (void)state;
    struct kv_record record = {.type = KV_RECORD_PUT, .key_len = sizeof KEY - 1, .seq = 80}, got;
    uint8_t head[KV_RECORD_HEAD];
    record.value_len = KV_VALUE_MAX;
    kv_record_encode(&seeds, PLACE, &record, KEY, head);
    assert_true(kv_record_decode(&seeds, PLACE, head, &got));
    assert_int_equal(got.value_len, KV_VALUE_MAX);
    record.value_len++;
    kv_record_encode(&seeds, PLACE, &record, KEY, head);
    assert_false(kv_record_decode(&seeds, PLACE, head, &got));
}

// Damage to any one bit of a record, its padding included, shows.
static void test_every_bit_flip_shows(void **state)
{
    (void)state;
    struct bytes good = encode(PLACE);
    for (size_t bit = 0; bit < good.len * 8; bit++) {
        struct bytes b = good;
        struct kv_record r;
        b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (sound(&b, PLACE, &r))
            fail_msg("bit %zu of byte %zu", bit % 8, bit / 8);
    }
}

// A record's bytes found anywhere else, or under another store's seed, are no record: a value cannot smuggle
// one in.
static void test_bound_to_its_place(void **state)
{
    (void)state;
    struct bytes b = encode(PLACE);
    struct kv_record r;
    assert_false(kv_record_decode(&seeds, (struct kv_place){5, 4112}, b.data, &r));
    assert_false(kv_record_decode(&seeds, (struct kv_place){6, 4096}, b.data, &r));
    struct kv_seeds other = seeds;
    other.sum_seed++;
    assert_false(kv_record_decode(&other, PLACE, b.data, &r));
}

// An erase mark is recognised, and one flipped bit makes neither a mark of nothing nor nothing of a mark.
static void test_erase_mark(void **state)
{
    (void)state;
    struct bytes b = encode(PLACE);
    uint64_t mark = kv_erase_mark(&seeds, PLACE);
    memcpy(b.data + KV_ERASE_MARK_AT, &mark, sizeof mark);
    assert_int_equal(kv_record_mark(&seeds, PLACE, b.data), KV_MARK_ERASED);
    for (unsigned bit = 0; bit < 64; bit++) {
        struct bytes flipped = b;
        flipped.data[KV_ERASE_MARK_AT + bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(kv_record_mark(&seeds, PLACE, flipped.data), KV_MARK_DAMAGED);
    }
}

static void test_segment_header(void **state)
{
    (void)state;
    uint8_t head[KV_SEGMENT_HEAD];
    kv_segment_encode(&seeds, 3, head);
    assert_true(kv_segment_decode(&seeds, 3, head));
    assert_false(kv_segment_decode(&seeds, 4, head));
    for (size_t bit = 0; bit < sizeof head * 8; bit++) {
        head[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_false(kv_segment_decode(&seeds, 3, head));
        head[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

// A manifest survives any flipped bit and any cut in its second half: it is there twice.
static void test_manifest(void **state)
{
    (void)state;
    struct kv_manifest_segment ids[] = {{1, 4096}, {2, 64}, {9, 0}};
    struct kv_manifest m = {.seeds = seeds, .next_segment = 10, .segments = ids, .count = 3};
    size_t size = kv_manifest_size(3);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    kv_manifest_encode(&m, bytes);
    struct kv_manifest got;
    uint32_t version;
    for (size_t bit = 0; bit <= size * 8; bit++) {
        if (bit < size * 8)
            bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(kv_manifest_decode(bytes, size, &got, &version), KV_MANIFEST_OK);
        assert_int_equal(got.count, 3);
        assert_int_equal(got.segments[2].id, 9);
        assert_memory_equal(got.segments, ids, sizeof ids);
        assert_int_equal(got.next_segment, 10);
        assert_memory_equal(&got.seeds, &seeds, sizeof seeds);
        free(got.segments);
        if (bit < size * 8)
            bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t len = 0; len < size; len++) {
        enum kv_manifest_fault expected = len >= size / 2 ? KV_MANIFEST_OK : KV_MANIFEST_DAMAGED;
        assert_int_equal(kv_manifest_decode(bytes, len, &got, &version), expected);
        if (expected == KV_MANIFEST_OK)
            free(got.segments);
    }
    for (size_t copy = 0; copy < 2; copy++) { // a store of another version says so
        uint8_t *at = bytes + copy * (size / 2);
        at[8] = 1;
        uint64_t sum = htole64(XXH3_64bits(at, size / 2 - 8));
        memcpy(at + size / 2 - 8, &sum, sizeof sum);
    }
    assert_int_equal(kv_manifest_decode(bytes, size, &got, &version), KV_MANIFEST_VERSION);
    assert_int_equal(version, 1);
    kv_manifest_encode(&m, bytes);
    ids[2].id = KV_SEGMENT_ID_MAX; // no location holds a higher one
    m.next_segment = UINT64_MAX;
    kv_manifest_encode(&m, bytes);
    assert_int_equal(kv_manifest_decode(bytes, size, &got, &version), KV_MANIFEST_OK);
    free(got.segments);
    ids[2].id++;
    kv_manifest_encode(&m, bytes);
    assert_int_equal(kv_manifest_decode(bytes, size, &got, &version), KV_MANIFEST_DAMAGED);
    bytes[0] ^= 1; // both copies damaged
    bytes[size / 2] ^= 1;
    assert_int_equal(kv_manifest_decode(bytes, size, &got, &version), KV_MANIFEST_DAMAGED);
    free(bytes);
}

// A size class covers its sizes with at most an eighth to spare, and its floor is never above them.
static void test_size_classes(void **state)
{
    (void)state;
    for (uint64_t size = 16; size < (1ull << 30);
         size = size < 100000 ? size + 16 : size + size / 7 * 16 / 16 + 16) {
        uint8_t c = kv_class_of(size);
        assert_true(kv_class_size(c) >= size);
        assert_true(kv_class_size(c) <= size + size / 8 + 16);
        assert_true(kv_class_floor(c) <= size);
    }
    assert_true(kv_class_size(kv_class_of(kv_record_size(65535, 512u << 20))) >= (512u << 20));
}

// The table keeps everything in the order of the hashes through random inserts and removes, duplicates
// included.
static void test_table(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct kv_table table = {0};
    uint64_t x = 1, *hashes = calloc(N, sizeof *hashes);
    assert_non_null(hashes);
    for (uint64_t i = 0; i < N; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        hashes[i] = i % 10 == 9 ? hashes[i - 1] : (x >> 8) & KV_HASH_BITS; // one shard's
        assert_true(kv_table_insert(&table, hashes[i], i + 1));
    }
    assert_int_equal(table.count, N);
    assert_true(kv_table_bytes(&table) <= N * 24u);
    for (uint64_t round = 0; round < 2; round++) {
        uint64_t before = 0, seen = 0;
        for (const struct kv_slot *s = kv_table_from(&table, 0);
             s != NULL && s < table.slots + table.capacity; s++) {
            assert_true(s->word == 0 || kv_slot_hash(s) >= before);
            before = s->word != 0 ? kv_slot_hash(s) : before;
            seen += s->word != 0;
        }
        assert_int_equal(seen, table.count);
        for (uint64_t i = round; i < N; i += 2) { // every second, then the rest
            struct kv_slot *s = kv_table_find(&table, hashes[i]);
            while (s != NULL && s->word != i + 1)
                s = kv_table_next(&table, s);
            assert_non_null(s);
            kv_table_remove(&table, s);
        }
    }
    assert_int_equal(table.count, 0);
    kv_table_destroy(&table);
    free(hashes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),         cmocka_unit_test(test_every_bit_flip_shows),
        cmocka_unit_test(test_bound_to_its_place), cmocka_unit_test(test_erase_mark),
        cmocka_unit_test(test_segment_header),     cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_size_classes),       cmocka_unit_test(test_table),
        cmocka_unit_test(test_change_of_expiry),   cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
