// The checksum of RDB files and DUMP payloads: CRC-64 by Jones (polynomial 0xad93d23594c935a9, bits reflected,
// starts at 0, no final xor). "123456789" gives 0xe9c6d914c4b8d9ca. Finds accidents, not intent.
#ifndef MEC_KVSTORE_RDB_CRC64_H
#define MEC_KVSTORE_RDB_CRC64_H

#include <stddef.h>
#include <stdint.h>

// The checksum of what `crc` is the checksum of (0: of nothing) followed by `len` bytes. Any thread.
uint64_t rdb_crc64(uint64_t crc, const void *bytes, size_t len);

#endif
