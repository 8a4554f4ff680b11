#include "kvstore/rdb/rdb_crc64.h"

#include <pthread.h>

#include "kvstore/kv_bytes.h"

#define POLYNOMIAL 0x95ac9329ac4bc9b5u // 0xad93d23594c935a9 from the other end
#define SLICES     8

// table[k][b]: the checksum of byte b followed by k zero bytes; so eight bytes are done at once.
static uint64_t table[SLICES][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    for (unsigned b = 0; b < 256; b++) {
        uint64_t crc = b;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        table[0][b] = crc;
    }
    for (unsigned k = 1; k < SLICES; k++) {
        for (unsigned b = 0; b < 256; b++)
            table[k][b] = (table[k - 1][b] >> 8) ^ table[0][table[k - 1][b] & 0xff];
    }
}

uint64_t rdb_crc64(uint64_t crc, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    (void)pthread_once(&table_once, make_table);
    for (; len >= SLICES; len -= SLICES, p += SLICES) {
        crc ^= kv_get64(p);
        uint64_t next = 0;
        for (unsigned i = 0; i < SLICES; i++)
            next ^= table[SLICES - 1 - i][(crc >> (8 * i)) & 0xff];
        crc = next;
    }
    for (; len > 0; len--, p++)
        crc = (crc >> 8) ^ table[0][(crc ^ *p) & 0xff];
    return crc;
}
