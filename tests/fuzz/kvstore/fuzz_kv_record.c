// Any bytes as a record, a segment header and a manifest: decoding never reads outside of them, and what it accepts encodes to the same bytes.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_format.h"

static const struct kv_seeds seeds = {.store_id = "fuzz", .sum_seed = 42};
static const struct kv_place place = {.segment = 1, .offset = 64};

// With the sums made right, so that what lies behind them is reached too.
static void try_record(const uint8_t *data, size_t len)
{
    uint8_t head[KV_RECORD_HEAD], again[KV_RECORD_HEAD];
    struct kv_record record;
    if (len < sizeof head)
        return;
    memcpy(head, data, sizeof head);
    // Accepted now and then: libFuzzer learns sums from the comparison.
    (void)kv_record_decode(&seeds, place, head, &record);
    memcpy(&record.seq, data + 16, 8);
    memcpy(&record.expire_ms, data + 24, 8);
    memcpy(&record.expire_seq, data + 32, 8);
    memcpy(&record.value_sum, data + 40, 8);
    memcpy(&record.target, data + 40, 8);
    memcpy(&record.value_len, data + 8, 4);
    memcpy(&record.key_len, data + 12, 2);
    record.type = (enum kv_record_type)data[14];
    if (record.key_len > len - sizeof head)
        return;
    const uint8_t *key = data + sizeof head;
    kv_record_encode(&seeds, place, &record, key, head);
    struct kv_record decoded;
    if (!kv_record_decode(&seeds, place, head, &decoded))
        return; // a type or a length that no record has
    if (!kv_record_key_holds(&seeds, place, head, key, decoded.key_len))
        abort();
    kv_record_encode(&seeds, place, &decoded, key, again);
    if (memcmp(head, again, sizeof head) != 0)
        abort();
    uint64_t size = kv_record_size(decoded.key_len, decoded.value_len);
    uint8_t size_class = kv_class_of(size);
    if (kv_class_size(size_class) < size || kv_class_floor(size_class) > size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    try_record(data, len);
    if (len >= KV_SEGMENT_HEAD)
        (void)kv_segment_decode(&seeds, 1, data);
    struct kv_manifest manifest;
    uint32_t version;
    if (kv_manifest_decode(data, len, &manifest, &version) == KV_MANIFEST_OK)
        free(manifest.segments);
    return 0;
}
