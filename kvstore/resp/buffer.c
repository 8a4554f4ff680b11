#include "kvstore/resp/buffer.h"

#include <stdlib.h>
#include <string.h>

#define SMALLEST 4096u

static void give_back(struct resp_buffer *b)
{
    if (b->memory != NULL)
        explicit_bzero(b->memory, b->cap);
    free(b->memory);
    b->memory = NULL;
    b->cap = 0;
}

// New memory with the contents at its start. Not realloc(): that would leave a copy behind.
static bool grow(struct resp_buffer *b, size_t needed, size_t wanted)
{
    size_t doubled = b->cap * 2 > SMALLEST ? b->cap * 2 : SMALLEST;
    size_t cap = wanted < doubled && wanted > b->cap + b->cap / 2 ? wanted : doubled;
    if (cap < needed)
        cap = needed;
    uint8_t *memory = malloc(cap);
    if (memory == NULL)
        return false;
    size_t len = b->end - b->start;
    if (len != 0)
        memcpy(memory, b->memory + b->start, len);
    give_back(b);
    b->memory = memory;
    b->cap = cap;
    b->start = 0;
    b->end = len;
    return true;
}

bool resp_buffer_add(struct resp_buffer *buffer, const void *data, size_t more, size_t wanted)
{
    size_t len = buffer->end - buffer->start;
    if (more == 0)
        return true;
    if (buffer->cap - len < more) {
        if (!grow(buffer, len + more, wanted))
            return false;
    } else if (buffer->cap - buffer->end < more) {
        memmove(buffer->memory, buffer->memory + buffer->start, len);
        buffer->start = 0;
        buffer->end = len;
    }
    memcpy(buffer->memory + buffer->end, data, more);
    buffer->end += more;
    return true;
}

const uint8_t *resp_buffer_data(const struct resp_buffer *buffer)
{
    return buffer->memory != NULL ? buffer->memory + buffer->start : NULL;
}

size_t resp_buffer_length(const struct resp_buffer *buffer)
{
    return buffer->end - buffer->start;
}

void resp_buffer_drop(struct resp_buffer *buffer, size_t len)
{
    buffer->start += len;
}

void resp_buffer_compact(struct resp_buffer *buffer)
{
    if (buffer->start != buffer->end)
        return;
    buffer->start = 0;
    buffer->end = 0;
    give_back(buffer);
}

void resp_buffer_deinit(struct resp_buffer *buffer)
{
    give_back(buffer);
    buffer->start = 0;
    buffer->end = 0;
}
