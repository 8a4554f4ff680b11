// Commands on the bits of strings; BITFIELD is in cmd_bitfield.c.
#include "kvstore/resp/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/bitfield.h"
#include "kvstore/resp/value.h"

static bool bit_offset(struct resp_call *call, const struct resp_arg *arg, uint64_t *offset)
{
    if (resp_bits_offset(arg, 0, resp_value_max(call), offset))
        return true;
    resp_error(call->reply, "ERR bit offset is not an integer or out of range");
    return false;
}

void resp_cmd_getbit(struct resp_call *call)
{
    uint64_t offset;
    struct resp_value value;
    if (!bit_offset(call, &call->args[2], &offset) || !resp_value_read(call, &call->args[1], &value))
        return;
    resp_integer(call->reply, (int64_t)resp_bits_read(value.view.data, value.view.len, offset, 1));
    resp_value_release(call, &value);
}

// Sets a bit to another value, or lets the value grow up to it.
static bool change_bit(struct resp_call *call, const struct resp_value *value, uint64_t offset, uint64_t bit)
{
    size_t len = value->view.len > offset / 8 ? value->view.len : offset / 8 + 1;
    uint8_t *changed = resp_value_copy(call, value, len);
    if (changed == NULL)
        return false;
    resp_bits_write(changed, offset, 1, bit);
    bool put = resp_value_put(call, &call->args[1], changed, len, value->view.expire_ms, "setbit");
    free(changed);
    return put;
}

void resp_cmd_setbit(struct resp_call *call)
{
    uint64_t offset;
    int64_t bit;
    struct resp_value value;
    if (!bit_offset(call, &call->args[2], &offset))
        return;
    if (!resp_arg_int64(&call->args[3], &bit) || bit < 0 || bit > 1) {
        resp_error(call->reply, "ERR bit is not an integer or out of range");
        return;
    }
    if (!resp_value_get(call, &call->args[1], &value))
        return;
    uint64_t old = resp_bits_read(value.view.data, value.view.len, offset, 1);
    bool same = value.view.len > offset / 8 && old == (uint64_t)bit;
    if (same || change_bit(call, &value, offset, (uint64_t)bit))
        resp_integer(call->reply, (int64_t)old);
    resp_value_release(call, &value);
}

// ---- ranges

// BYTE or BIT; false: the error was replied.
static bool unit(struct resp_call *call, const struct resp_arg *arg, bool *in_bits)
{
    *in_bits = resp_arg_is(arg, "bit");
    if (*in_bits || resp_arg_is(arg, "byte"))
        return true;
    resp_error(call->reply, RESP_SYNTAX_ERROR);
    return false;
}

// The bits of a piece of the value. False: none.
static bool bit_range(int64_t first, int64_t last, size_t len, bool in_bits, uint64_t *from, uint64_t *to)
{
    if (!resp_value_range(first, last, in_bits ? (uint64_t)len * 8 : len, from, to))
        return false;
    if (!in_bits) {
        *from *= 8;
        *to = *to * 8 + 7;
    }
    return true;
}

static void count_bits(struct resp_call *call, const struct kv_view *view)
{
    const struct resp_arg *args = call->args;
    int64_t first = 0, last = -1;
    uint64_t from, to;
    bool in_bits = false;
    if (call->argc != 2 && call->argc != 4 && call->argc != 5) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return;
    }
    if (call->argc > 2 &&
        (!resp_value_number(call, &args[2], &first) || !resp_value_number(call, &args[3], &last)))
        return;
    // Redis finds this range empty before it looks at the unit.
    bool backwards = call->argc > 2 && resp_value_backwards(first, last);
    if (call->argc == 5 && !backwards && !unit(call, &args[4], &in_bits))
        return;
    bool any = !backwards && bit_range(first, last, view->len, in_bits, &from, &to);
    resp_integer(call->reply, any ? (int64_t)resp_bits_count(view->data, from, to) : 0);
}

void resp_cmd_bitcount(struct resp_call *call)
{
    struct resp_value value;
    if (!resp_value_read(call, &call->args[1], &value))
        return;
    if (value.there) // of an absent key the rest is not looked at
        count_bits(call, &value.view);
    else
        resp_integer(call->reply, 0);
    resp_value_release(call, &value);
}

static void find_bit(struct resp_call *call, const struct kv_view *view, bool bit)
{
    const struct resp_arg *args = call->args;
    int64_t first = 0, last = -1;
    uint64_t from, to, at;
    bool in_bits = false;
    if (call->argc > 6) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return;
    }
    if ((call->argc > 3 && !resp_value_number(call, &args[3], &first)) ||
        (call->argc == 6 && !unit(call, &args[5], &in_bits)) ||
        (call->argc > 4 && !resp_value_number(call, &args[4], &last)))
        return;
    if (!bit_range(first, last, view->len, in_bits, &from, &to))
        resp_integer(call->reply, -1);
    else if (resp_bits_find(view->data, from, to, bit, &at))
        resp_integer(call->reply, (int64_t)at);
    else // without an end zeros follow the value
        resp_integer(call->reply, bit || call->argc > 4 ? -1 : (int64_t)view->len * 8);
}

void resp_cmd_bitpos(struct resp_call *call)
{
    int64_t bit;
    struct resp_value value;
    if (!resp_value_number(call, &call->args[2], &bit))
        return;
    if (bit != 0 && bit != 1) {
        resp_error(call->reply, "ERR The bit argument must be 1 or 0.");
        return;
    }
    if (!resp_value_read(call, &call->args[1], &value))
        return;
    if (value.there)
        find_bit(call, &value.view, bit == 1);
    else
        resp_integer(call->reply, bit == 1 ? -1 : 0);
    resp_value_release(call, &value);
}

// ---- BITOP

struct result {
    uint8_t *data;
    size_t len;
};

// The result has at least so many bytes, the new ones zeros. False: no memory.
static bool grow(struct result *result, size_t len)
{
    if (len <= result->len)
        return true;
    uint8_t *data = realloc(result->data, len);
    if (data == NULL)
        return false;
    memset(data + result->len, 0, len - result->len);
    result->data = data;
    result->len = len;
    return true;
}

// Combines the keys one by one, so that one value is held at a time. What is shorter, or absent, counts as followed by zeros.
static bool combine(struct resp_call *call, enum resp_bits_op op, struct result *result)
{
    for (size_t i = 3; i < call->argc; i++) {
        struct resp_value value;
        if (!resp_value_get(call, &call->args[i], &value))
            return false;
        size_t len = value.view.len;
        bool grown = grow(result, len);
        if (grown && len != 0)
            resp_bits_combine(i == 3 ? RESP_BITS_OR : op, result->data, value.view.data, len);
        if (grown && op == RESP_BITS_AND && len < result->len)
            memset(result->data + len, 0, result->len - len);
        resp_value_release(call, &value);
        if (!grown) {
            resp_store_error(call, KV_NO_MEMORY);
            return false;
        }
    }
    return true;
}

static void store_result(struct resp_call *call, const struct result *result)
{
    const struct resp_arg *key = &call->args[2];
    if (result->len != 0) {
        if (resp_value_put(call, key, result->data, result->len, 0, "set"))
            resp_integer(call->reply, (int64_t)result->len);
        return;
    }
    enum kv_status status = resp_store_delete(call, key);
    if (status == KV_OK)
        resp_event(call, RESP_EVENT_GENERIC, "del", key);
    if (status == KV_OK || status == KV_NOT_FOUND)
        resp_integer(call->reply, 0);
    else
        resp_store_error(call, status);
}

// False: the error was replied.
static bool bitop_of(struct resp_call *call, enum resp_bits_op *op, bool *invert)
{
    static const struct {
        const char *word;
        enum resp_bits_op op; // NOT is the inverse of one OR nothing
        bool invert;
    } ops[] = {{"and", RESP_BITS_AND, false},
               {"or", RESP_BITS_OR, false},
               {"xor", RESP_BITS_XOR, false},
               {"not", RESP_BITS_OR, true}};
    size_t i = 0;
    while (i < sizeof ops / sizeof ops[0] && !resp_arg_is(&call->args[1], ops[i].word))
        i++;
    if (i == sizeof ops / sizeof ops[0]) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return false;
    }
    *op = ops[i].op;
    *invert = ops[i].invert;
    if (!*invert || call->argc == 4)
        return true;
    resp_error(call->reply, "ERR BITOP NOT must be called with a single source key.");
    return false;
}

void resp_cmd_bitop(struct resp_call *call)
{
    enum resp_bits_op op;
    bool invert;
    struct result result = {0};
    if (!bitop_of(call, &op, &invert))
        return;
    enum kv_status status = resp_store_ready(call, &call->args[2]);
    if (status != KV_OK) {
        resp_store_error(call, status);
        return;
    }
    if (combine(call, op, &result)) {
        resp_value_missed(call, call->args + 3, call->argc - 3);
        if (invert)
            resp_bits_invert(result.data, result.len);
        store_result(call, &result);
    }
    free(result.data);
}
