// DUMP payloads. The input is a payload without its footer, which is put behind it (a fuzzer does not find checksums), and once more as it is.
// Oracle: what is read makes a payload that gives the same again; as a value the input survives the way there and back.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_bytes.h"
#include "kvstore/rdb/rdb_crc64.h"
#include "kvstore/rdb/rdb_dump.h"

#define LIMIT 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void there_and_back(const uint8_t *value, size_t len, bool compress)
{
    uint8_t *payload, *back;
    size_t payload_len, back_len;
    if (rdb_dump_make(value, len, compress, &payload, &payload_len) != RDB_DUMP_OK)
        abort();
    if (rdb_dump_read(payload, payload_len, LIMIT, &back, &back_len, NULL) != RDB_DUMP_OK)
        abort();
    if (back_len != len || (len > 0 && memcmp(back, value, len) != 0))
        abort();
    free(payload);
    free(back);
}

static void read_payload(const uint8_t *payload, size_t len)
{
    uint8_t *value;
    size_t value_len;
    enum rdb_kind kind = RDB_KINDS;
    enum rdb_dump_status status = rdb_dump_read(payload, len, LIMIT, &value, &value_len, &kind);
    if ((status == RDB_DUMP_OTHER_KIND) != (kind != RDB_KINDS) || rdb_dump_status_text(status)[0] == '?')
        abort();
    if (status != RDB_DUMP_OK)
        return;
    if (value_len > LIMIT)
        abort();
    there_and_back(value, value_len, false);
    there_and_back(value, value_len, true);
    free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > LIMIT)
        return 0;
    read_payload(data, len);
    uint8_t *payload = malloc(len + 10);
    if (payload == NULL)
        abort();
    if (len > 0)
        memcpy(payload, data, len);
    kv_put16(payload + len, 10);
    kv_put64(payload + len + 2, rdb_crc64(0, payload, len + 2));
    read_payload(payload, len + 10);
    free(payload);
    there_and_back(data, len, true);
    return 0;
}
