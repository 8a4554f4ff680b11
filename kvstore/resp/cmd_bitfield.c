// BITFIELD and BITFIELD_RO. The arguments are gone through twice: once for their errors and to see how far the value has to reach, once to do what they say.
#include "kvstore/resp/handlers.h"

#include <stdlib.h>

#include "kvstore/resp/bitfield.h"
#include "kvstore/resp/value.h"

struct plan {
    size_t operations;
    bool writes;
    uint64_t last_bit; // that is written
};

static struct resp_bitfield_parser operations_of(const struct resp_call *call)
{
    return resp_bitfield_begin(call->args + 2, call->argc - 2, resp_value_max(call));
}

static void reply_refusal(struct resp_call *call, enum resp_bitfield_status status)
{
    switch (status) {
    case RESP_BITFIELD_OK:
    case RESP_BITFIELD_END:
        return;
    case RESP_BITFIELD_SYNTAX:
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return;
    case RESP_BITFIELD_BAD_OVERFLOW:
        resp_error(call->reply, "ERR Invalid OVERFLOW type specified");
        return;
    case RESP_BITFIELD_BAD_TYPE:
        resp_error(call->reply, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not "
                                "supported but i64 is.");
        return;
    case RESP_BITFIELD_BAD_OFFSET:
        resp_error(call->reply, "ERR bit offset is not an integer or out of range");
        return;
    case RESP_BITFIELD_BAD_NUMBER:
        resp_error(call->reply, RESP_NOT_INTEGER);
        return;
    }
}

// False: the error was replied.
static bool make_plan(struct resp_call *call, struct plan *plan)
{
    struct resp_bitfield_parser parser = operations_of(call);
    struct resp_bitfield operation;
    enum resp_bitfield_status status;
    *plan = (struct plan){0};
    while ((status = resp_bitfield_next(&parser, &operation)) == RESP_BITFIELD_OK) {
        plan->operations++;
        if (operation.kind == RESP_BITFIELD_GET)
            continue;
        uint64_t last = operation.offset + operation.bits - 1;
        if (last > plan->last_bit)
            plan->last_bit = last;
        plan->writes = true;
    }
    reply_refusal(call, status);
    return status == RESP_BITFIELD_END;
}

static int64_t field_of(const uint8_t *data, size_t len, const struct resp_bitfield *o)
{
    if (o->is_signed)
        return resp_bits_read_signed(data, len, o->offset, o->bits);
    return (int64_t)resp_bits_read(data, len, o->offset, o->bits);
}

static void get_fields(struct resp_call *call, const struct plan *plan, const uint8_t *data, size_t len)
{
    struct resp_bitfield_parser parser = operations_of(call);
    struct resp_bitfield operation;
    resp_array(call->reply, plan->operations);
    while (resp_bitfield_next(&parser, &operation) == RESP_BITFIELD_OK)
        resp_integer(call->reply, field_of(data, len, &operation));
}

struct change {
    uint8_t *data; // the value with room for all that is written
    size_t len;
    bool fields; // some have another value now
    bool done;   // some operation was, not all refused for overflow
};

// Does one operation and replies what it gives.
static void operate(struct resp_call *call, const struct resp_bitfield *o, struct change *change)
{
    int64_t old = field_of(change->data, change->len, o), now = old;
    bool fits = true;
    if (o->kind == RESP_BITFIELD_SET)
        fits = resp_bits_assign(o->is_signed, o->bits, o->number, o->overflow, &now);
    else if (o->kind == RESP_BITFIELD_INCRBY)
        fits = resp_bits_increase(o->is_signed, o->bits, old, o->number, o->overflow, &now);
    if (!fits) {
        resp_null(call->reply);
        return;
    }
    resp_integer(call->reply, o->kind == RESP_BITFIELD_SET ? old : now);
    change->done |= o->kind != RESP_BITFIELD_GET;
    if (now == old)
        return;
    resp_bits_write(change->data, o->offset, o->bits, (uint64_t)now);
    change->fields = true;
}

// A value that only grew because every operation was refused is stored, but there is no "setbit", as in Redis.
static enum kv_status store_fields(struct resp_call *call, const struct resp_value *value,
                                   const struct change *change)
{
    bool grown = change->len > value->view.len;
    if (!grown && !change->fields)
        return KV_OK;
    return resp_value_store(call, &call->args[1], change->data, change->len, value->view.expire_ms, 0,
                            change->fields || change->done ? "setbit" : NULL);
}

static void change_fields(struct resp_call *call, const struct plan *plan, const struct resp_value *value)
{
    struct resp_bitfield_parser parser = operations_of(call);
    struct resp_bitfield operation;
    struct resp_mark mark = resp_reply_mark(call->reply);
    struct change change = {.len = plan->last_bit / 8 + 1};
    if (change.len <= value->view.len)
        change.len = value->view.len;
    else if (!resp_value_fits(call, 0, change.len)) // begins in the last byte that there may be
        return;
    change.data = resp_value_copy(call, value, change.len);
    if (change.data == NULL)
        return;
    resp_array(call->reply, plan->operations);
    while (resp_bitfield_next(&parser, &operation) == RESP_BITFIELD_OK)
        operate(call, &operation, &change);
    enum kv_status status = resp_reply_ok(call->reply) ? store_fields(call, value, &change) : KV_OK;
    if (status != KV_OK) {
        resp_reply_rewind(call->reply, &mark);
        resp_store_error(call, status);
    }
    free(change.data);
}

void resp_cmd_bitfield(struct resp_call *call)
{
    struct plan plan;
    struct resp_value value;
    if (!make_plan(call, &plan))
        return;
    if (plan.writes ? !resp_value_get(call, &call->args[1], &value)
                    : !resp_value_read(call, &call->args[1], &value))
        return;
    if (plan.writes)
        change_fields(call, &plan, &value);
    else
        get_fields(call, &plan, value.view.data, value.view.len);
    resp_value_release(call, &value);
}

void resp_cmd_bitfield_ro(struct resp_call *call)
{
    struct plan plan;
    struct resp_value value;
    if (!make_plan(call, &plan))
        return;
    if (plan.writes) {
        resp_error(call->reply, "ERR BITFIELD_RO only supports the GET subcommand");
        return;
    }
    if (!resp_value_read(call, &call->args[1], &value))
        return;
    get_fields(call, &plan, value.view.data, value.view.len);
    resp_value_release(call, &value);
}
