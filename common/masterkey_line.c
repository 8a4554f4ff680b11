// The line of a master key that a passphrase protects.
#include "common/masterkey.h"

#include <string.h>

#include "common/hex.h"

#define BEGINNING     "MKP1 scrypt "
#define BEGINNING_LEN (sizeof BEGINNING - 1)
#define MEMORY_MOST   (UINT64_C(1) << 30)

struct reader {
    const uint8_t *at;
    size_t left;
};

static bool take(struct reader *in, char c)
{
    if (in->left == 0 || *in->at != (uint8_t)c)
        return false;
    in->at++;
    in->left--;
    return true;
}

// One or two digits without a leading zero, and a space.
static bool take_number(struct reader *in, unsigned least, unsigned most, unsigned *number)
{
    unsigned digits = 0;
    for (*number = 0; digits < 2 && in->left > 0 && *in->at >= '0' && *in->at <= '9'; digits++) {
        if (digits > 0 && *number == 0)
            return false;
        *number = *number * 10 + (unsigned)(*in->at - '0');
        in->at++;
        in->left--;
    }
    return digits > 0 && *number >= least && *number <= most && take(in, ' ');
}

static bool take_hex(struct reader *in, uint8_t *bytes, size_t len)
{
    if (in->left < 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int high = hex_digit((char)in->at[2 * i]), low = hex_digit((char)in->at[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    in->at += 2 * len;
    in->left -= 2 * len;
    return true;
}

bool master_key_is_line(const uint8_t *text, size_t len)
{
    return len >= BEGINNING_LEN && memcmp(text, BEGINNING, BEGINNING_LEN) == 0;
}

bool master_key_read_line(const uint8_t *text, size_t len, struct master_key_line *line)
{
    if (!master_key_is_line(text, len))
        return false;
    struct reader in = {.at = text + BEGINNING_LEN, .left = len - BEGINNING_LEN};
    if (!take_number(&in, 10, 22, &line->log2_n) || !take_number(&in, 1, 16, &line->r) ||
        !take_number(&in, 1, 16, &line->p) || !take_hex(&in, line->salt, sizeof line->salt) ||
        !take(&in, ' '))
        return false;
    line->ad_len = (size_t)(in.at - text);
    return ((uint64_t)128 * line->r << line->log2_n) <= MEMORY_MOST &&
           take_hex(&in, line->sealed, sizeof line->sealed) && take(&in, '\n') && in.left == 0;
}
