#include "tests/soak/soak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

const char *const soak_op_names[SOAK_OPS] = {
    "put",       "put_batch", "delete", "set_expiry", "sync",       "get",        "get_alloc", "view",
    "get_batch", "get_async", "exists", "version",    "get_expiry", "hold",       "let_go",    "scan",
    "open",      "close",     "limit",  "goal",       "curve",      "checkpoint", "stats"};

uint64_t soak_mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 32);
}

static size_t key_len_of(uint32_t index)
{
    if (index % 4999 == 17)
        return KV_KEY_MAX;
    uint64_t x = soak_mix(index);
    return index % 499 == 3 ? 200 + x % 8000 : 12 + x % 40;
}

size_t soak_key(uint32_t index, uint8_t *buf)
{
    size_t len = key_len_of(index);
    memset(buf, (int)('a' + index % 26), len);
    int n = snprintf((char *)buf, len, "%u:", index);
    buf[n] = 0xff; // keys are bytes, not text
    return len;
}

uint32_t soak_key_index(const void *key, size_t key_len, uint8_t *scratch)
{
    char digits[12] = "";
    memcpy(digits, key, key_len < sizeof digits - 1 ? key_len : sizeof digits - 1);
    uint32_t index = (uint32_t)strtoul(digits, NULL, 10);
    return soak_key(index, scratch) == key_len && memcmp(scratch, key, key_len) == 0 ? index : UINT32_MAX;
}

void soak_value(uint64_t id, uint8_t *buf, size_t len)
{
    uint64_t word = soak_mix(id * 2 + 1), magic = SOAK_MAGIC, sum = soak_mix(id);
    size_t at = 0;
    for (; at + 8 <= len; at += 8) {
        word = word * 6364136223846793005u + 1442695040888963407u;
        memcpy(buf + at, &word, 8);
    }
    word = soak_mix(word);
    memcpy(buf + at, &word, len - at);
    for (at = 0; at + SOAK_MARK <= len; at += SOAK_BLOCK) {
        memcpy(buf + at, &magic, 8);
        memcpy(buf + at + 8, &id, 8);
        memcpy(buf + at + 16, &sum, 8);
    }
}

uint64_t soak_digest(const void *bytes, size_t len)
{
    return XXH3_64bits(bytes, len);
}

uint64_t soak_value_digest(uint64_t id, size_t len)
{
    uint8_t small[2048];
    uint8_t *buf = len <= sizeof small ? small : malloc(len);
    if (buf == NULL)
        abort();
    soak_value(id, buf, len);
    uint64_t digest = soak_digest(buf, len);
    if (buf != small)
        free(buf);
    return digest;
}

size_t soak_request_size(const struct soak_request *request)
{
    return request->op == SOAK_OPEN
               ? sizeof *request
               : offsetof(struct soak_request, items) + request->count * sizeof request->items[0];
}

size_t soak_answer_size(const struct soak_answer *answer)
{
    return answer->op == SOAK_STATS
               ? sizeof *answer
               : offsetof(struct soak_answer, results) + answer->count * sizeof answer->results[0];
}
