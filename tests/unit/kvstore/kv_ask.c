#include "kv_ask.h"

#include <stdlib.h>

struct ask ask_new(size_t count, unsigned first, unsigned step, unsigned modulo)
{
    struct ask ask = {.count = count};
    ask.gets = calloc(count, sizeof *ask.gets);
    ask.numbers = calloc(count, sizeof *ask.numbers);
    ask.keys = calloc(count, sizeof *ask.keys);
    ask.room = malloc(count * ROOM);
    for (size_t i = 0; i < count; i++) {
        ask.numbers[i] = (first + (unsigned)i * step) % modulo;
        ask.gets[i] = (struct kv_get){.key = ask.keys[i],
                                      .key_len = read_kit_key(ask.numbers[i], ask.keys[i]),
                                      .buf = ask.room + i * ROOM,
                                      .len = ROOM};
    }
    return ask;
}

void ask_free(struct ask *ask)
{
    free(ask->gets);
    free(ask->numbers);
    free(ask->keys);
    free(ask->room);
}

bool is_right(const struct ask *ask, size_t i)
{
    const struct kv_get *get = &ask->gets[i];
    return get->status == KV_OK && get->version != 0 && get->len == read_kit_len(ask->numbers[i], LEN) &&
           read_kit_is_value(ask->numbers[i], get->buf, get->len);
}

void expect_all_right(const struct ask *ask, const char *way)
{
    for (size_t i = 0; i < ask->count; i++)
        if (!is_right(ask, i))
            fail_msg("%s: key %u of %zu: %s, %zu bytes", way, ask->numbers[i], i,
                     kv_status_text(ask->gets[i].status), ask->gets[i].len);
}
