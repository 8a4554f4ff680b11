// Hash slots, as Redis Cluster has them: CRC16 (XMODEM) of the key, or of what is between the first { and the next } if that is not empty.
#ifndef MEC_KVSTORE_RESP_SLOT_H
#define MEC_KVSTORE_RESP_SLOT_H

#include <stddef.h>
#include <stdint.h>

#define RESP_SLOTS 16384u

unsigned resp_slot(const void *key, size_t len);
uint16_t resp_crc16(const void *data, size_t len);

#endif
