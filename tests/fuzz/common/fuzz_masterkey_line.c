// The line of a protected master key: taken or refused without harm, and what is taken is within its bounds.
#include <stdint.h>
#include <stdlib.h>

#include "common/masterkey.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct master_key_line line;
    if (!master_key_read_line(data, len, &line))
        return 0;
    if (!master_key_is_line(data, len) || line.ad_len >= len || line.log2_n < 10 || line.log2_n > 22 ||
        line.r < 1 || line.r > 16 || line.p < 1 || line.p > 16 ||
        ((uint64_t)128 * line.r << line.log2_n) > (UINT64_C(1) << 30))
        abort();
    return 0;
}
