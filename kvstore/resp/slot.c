#include "kvstore/resp/slot.h"

#include <string.h>

#define POLYNOMIAL 0x1021u

uint16_t resp_crc16(const void *data, size_t len)
{
    const uint8_t *bytes = data;
    unsigned crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned)bytes[i] << 8;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = ((crc << 1) ^ ((crc & 0x8000u) != 0 ? POLYNOMIAL : 0)) & 0xffffu;
    }
    return (uint16_t)crc;
}

unsigned resp_slot(const void *key, size_t len)
{
    const uint8_t *bytes = key;
    const uint8_t *open = len != 0 ? memchr(bytes, '{', len) : NULL;
    if (open != NULL) {
        const uint8_t *tag = open + 1;
        size_t left = len - (size_t)(tag - bytes);
        const uint8_t *close = left != 0 ? memchr(tag, '}', left) : NULL;
        if (close != NULL && close != tag)
            return resp_crc16(tag, (size_t)(close - tag)) % RESP_SLOTS;
    }
    return resp_crc16(bytes, len) % RESP_SLOTS;
}
