#include "tests/bench/redis/respload_command.h"

#include <stdio.h>
#include <string.h>

enum { DIGITS = 12 };
static const char PREFIX[] = "key:";

bool respload_form_init(struct respload_form *form, const struct workload_keyspace *space,
                        enum respload_names names)
{
    *form = (struct respload_form){.space = space, .names = names, .value_bytes = space->value_max};
    form->key_bytes = names == RESPLOAD_BENCHMARK_NAMES ? RESPLOAD_BENCHMARK_KEY_BYTES : space->key_bytes;
    if (names == RESPLOAD_BENCHMARK_NAMES && space->keys > RESPLOAD_BENCHMARK_KEYS_MAX)
        return false;
    form->get_head_bytes = (size_t)snprintf(form->get_head, sizeof form->get_head,
                                            "*2\r\n$3\r\nGET\r\n$%zu\r\n", form->key_bytes);
    form->set_head_bytes = (size_t)snprintf(form->set_head, sizeof form->set_head,
                                            "*3\r\n$3\r\nSET\r\n$%zu\r\n", form->key_bytes);
    form->value_head_bytes =
        (size_t)snprintf(form->value_head, sizeof form->value_head, "\r\n$%zu\r\n", form->value_bytes);
    return true;
}

size_t respload_command_max(const struct respload_form *form)
{
    return form->set_head_bytes + form->key_bytes + form->value_head_bytes + form->value_bytes + 2;
}

static uint8_t *append(uint8_t *at, const void *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}

static uint8_t *append_key(const struct respload_form *form, uint64_t number, uint8_t *at)
{
    if (form->names == RESPLOAD_STORE_NAMES) {
        workload_key_write(form->space, number, at);
        return at + form->key_bytes;
    }
    at = append(at, PREFIX, sizeof PREFIX - 1);
    for (unsigned i = DIGITS; i-- > 0; number /= 10)
        at[i] = (uint8_t)('0' + number % 10);
    return at + DIGITS;
}

size_t respload_write_get(const struct respload_form *form, uint64_t number, uint8_t *out)
{
    uint8_t *at = append(out, form->get_head, form->get_head_bytes);
    at = append_key(form, number, at);
    return (size_t)(append(at, "\r\n", 2) - out);
}

size_t respload_write_set(const struct respload_form *form, uint64_t number, uint8_t *out)
{
    uint8_t *at = append(out, form->set_head, form->set_head_bytes);
    at = append_key(form, number, at);
    at = append(at, form->value_head, form->value_head_bytes);
    workload_value_prepare(form->space, at);
    at += workload_value_write(form->space, number, at);
    return (size_t)(append(at, "\r\n", 2) - out);
}
