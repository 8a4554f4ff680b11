// Commands on strings that are numbers.
#include "kvstore/resp/handlers.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/number.h"
#include "kvstore/resp/value.h"

// The value's number, an absent one's is 0; the error is replied.
static bool number_of(struct resp_call *call, const struct resp_value *value, int64_t *number)
{
    *number = 0;
    if (!value->there || resp_text_int64(value->view.data, value->view.len, number))
        return true;
    resp_error(call->reply, RESP_NOT_INTEGER);
    return false;
}

static void increase(struct resp_call *call, int64_t by)
{
    const struct resp_arg *key = &call->args[1];
    struct resp_value value;
    int64_t number;
    char text[24];
    if (!resp_value_get(call, key, &value))
        return;
    bool is_number = number_of(call, &value, &number);
    uint64_t expire_ms = value.view.expire_ms;
    resp_value_release(call, &value);
    if (!is_number)
        return;
    if (__builtin_add_overflow(number, by, &number)) {
        resp_error(call->reply, "ERR increment or decrement would overflow");
        return;
    }
    int len = snprintf(text, sizeof text, "%" PRId64, number);
    if (resp_value_put(call, key, text, (size_t)len, expire_ms, "incrby"))
        resp_integer(call->reply, number);
}

void resp_cmd_incr(struct resp_call *call)
{
    increase(call, 1);
}

void resp_cmd_decr(struct resp_call *call)
{
    increase(call, -1);
}

void resp_cmd_incrby(struct resp_call *call)
{
    int64_t by;
    if (resp_value_number(call, &call->args[2], &by))
        increase(call, by);
}

void resp_cmd_decrby(struct resp_call *call)
{
    int64_t by;
    if (!resp_value_number(call, &call->args[2], &by))
        return;
    if (by == INT64_MIN)
        resp_error(call->reply, "ERR decrement would overflow");
    else
        increase(call, -by);
}

// The sum of the value and the argument; false: the error was replied.
static bool float_sum(struct resp_call *call, const struct resp_value *value, long double *sum)
{
    long double number = 0, by;
    if ((value->there && !resp_number_parse(value->view.data, value->view.len, &number)) ||
        !resp_number_parse(call->args[2].data, call->args[2].len, &by)) {
        resp_error(call->reply, "ERR value is not a valid float");
        return false;
    }
    *sum = number + by;
    if (isfinite(*sum))
        return true;
    resp_error(call->reply, "ERR increment would produce NaN or Infinity");
    return false;
}

void resp_cmd_incrbyfloat(struct resp_call *call)
{
    const struct resp_arg *key = &call->args[1];
    struct resp_value value;
    long double sum;
    char text[RESP_NUMBER_TEXT];
    if (!resp_value_get(call, key, &value))
        return;
    bool is_number = float_sum(call, &value, &sum);
    uint64_t expire_ms = value.view.expire_ms;
    resp_value_release(call, &value);
    if (!is_number)
        return;
    size_t len = resp_number_format(sum, text);
    if (resp_value_put(call, key, text, len, expire_ms, "incrbyfloat"))
        resp_bulk(call->reply, text, len);
}
