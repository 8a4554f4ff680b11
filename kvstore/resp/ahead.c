#include "kvstore/resp/ahead.h"

#include "kvstore/resp/db.h"

#define MOST_DIGITS 5u  // of a length
#define MOST_ARGS   16u // so that what is not whole yet is not looked at again and again
#define LENGTH_END  2u  // "\r\n", as behind every bulk string

// "<mark><number>\r\n" at *at. False: not that, or not whole.
static bool take_number(const uint8_t *bytes, size_t len, size_t *at, uint8_t mark, size_t *number)
{
    size_t i = *at, digits = 0, value = 0;
    if (i >= len || bytes[i++] != mark)
        return false;
    for (; i < len && digits < MOST_DIGITS && bytes[i] >= '0' && bytes[i] <= '9'; i++, digits++)
        value = value * 10 + (size_t)(bytes[i] - '0');
    if (digits == 0 || (digits > 1 && bytes[*at + 1] == '0') || len - i < LENGTH_END || bytes[i] != '\r')
        return false;
    *at = i + LENGTH_END;
    *number = value;
    return true;
}

// A command at *at, which moves behind it. key->data NULL: it has no argument.
static bool take_command(const uint8_t *bytes, size_t len, size_t *at, struct resp_arg *key)
{
    size_t count, bulk;
    *key = (struct resp_arg){0};
    if (!take_number(bytes, len, at, '*', &count) || count == 0 || count > MOST_ARGS)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!take_number(bytes, len, at, '$', &bulk) || len - *at < bulk + LENGTH_END)
            return false;
        if (i == 1)
            *key = (struct resp_arg){bytes + *at, bulk};
        *at += bulk + LENGTH_END;
    }
    return true;
}

size_t resp_ahead_keys(const uint8_t *bytes, size_t len, struct resp_arg *keys, size_t most, size_t *commands)
{
    size_t at = 0, found = 0;
    for (*commands = 0; found < most && take_command(bytes, len, &at, &keys[found]); (*commands)++)
        if (keys[found].data != NULL)
            found++;
    return found;
}

size_t resp_ahead(const struct resp_session *session, const uint8_t *bytes, size_t len)
{
    struct resp_arg keys[KV_EXPECT_MOST];
    struct resp_db_name held[KV_EXPECT_MOST];
    struct kv_name names[KV_EXPECT_MOST];
    size_t commands, count = 0, found = resp_ahead_keys(bytes, len, keys, KV_EXPECT_MOST, &commands);
    if (found < 2)
        return commands != 0 ? commands : 1;
    for (size_t i = 0; i < found; i++)
        if (resp_db_name(session->shared, session->db, &keys[i], &held[count])) {
            names[count] = (struct kv_name){held[count].data, held[count].len};
            count++;
        }
    kv_expect(session->shared->store, names, count);
    for (size_t i = 0; i < count; i++)
        resp_db_name_free(&held[i]);
    return commands;
}
