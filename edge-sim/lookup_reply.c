#include "edge-sim/lookup_reply.h"

#include <stdbool.h>
#include <string.h>

// "123" or "-1"; false: anything else, leading zeros as well.
static bool parse_length(const uint8_t *text, size_t len, size_t max, size_t *value, bool *none)
{
    size_t n = 0;
    *none = len == 2 && memcmp(text, "-1", 2) == 0;
    if (*none)
        return true;
    if (len == 0 || len > 10 || (text[0] == '0' && len > 1))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        n = n * 10 + (size_t)(text[i] - '0');
    }
    *value = n;
    return n <= max;
}

static void parse_value(const uint8_t *bytes, size_t len, size_t line, size_t value_max,
                        struct lookup_reply *reply)
{
    size_t head = line + 2, size = 0;
    bool none;
    if (!parse_length(bytes + 1, line - 1, value_max, &size, &none)) {
        reply->kind = LOOKUP_REPLY_BAD;
    } else if (none) {
        reply->kind = LOOKUP_REPLY_NONE;
        reply->consumed = head;
    } else if (len < head + size + 2) {
        reply->wanted = head + size + 2;
    } else if (memcmp(bytes + head + size, "\r\n", 2) != 0) {
        reply->kind = LOOKUP_REPLY_BAD;
    } else {
        *reply = (struct lookup_reply){
            .kind = LOOKUP_REPLY_VALUE, .data = bytes + head, .len = size, .consumed = head + size + 2};
    }
}

void lookup_reply_parse(const uint8_t *bytes, size_t len, size_t value_max, struct lookup_reply *reply)
{
    *reply = (struct lookup_reply){.kind = LOOKUP_REPLY_MORE, .wanted = len + 1};
    if (len == 0)
        return;
    if (memchr("$+-", bytes[0], 3) == NULL) {
        reply->kind = LOOKUP_REPLY_BAD;
        return;
    }
    const uint8_t *end = memchr(bytes, '\r', len < LOOKUP_LINE_MAX ? len : LOOKUP_LINE_MAX);
    if (end == NULL) {
        if (len >= LOOKUP_LINE_MAX)
            reply->kind = LOOKUP_REPLY_BAD;
        return;
    }
    size_t line = (size_t)(end - bytes);
    if (len < line + 2)
        return;
    if (bytes[line + 1] != '\n')
        reply->kind = LOOKUP_REPLY_BAD;
    else if (bytes[0] == '$')
        parse_value(bytes, len, line, value_max, reply);
    else
        *reply = (struct lookup_reply){.kind = bytes[0] == '+' ? LOOKUP_REPLY_STATUS : LOOKUP_REPLY_ERROR,
                                       .data = bytes + 1,
                                       .len = line - 1,
                                       .consumed = line + 2};
}
