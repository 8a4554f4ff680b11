#include "kvstore/resp_reply.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERROR_TEXT_MAX 512

bool resp_reply_init(struct resp_reply *reply, size_t limit_bytes)
{
    *reply = (struct resp_reply){.out = evbuffer_new(), .limit_bytes = limit_bytes, .proto = 2};
    return reply->out != NULL;
}

void resp_reply_deinit(struct resp_reply *reply)
{
    if (reply->out != NULL)
        evbuffer_free(reply->out);
    reply->out = NULL;
}

bool resp_reply_ok(const struct resp_reply *reply)
{
    return !reply->overflow && !reply->failed;
}

size_t resp_reply_length(const struct resp_reply *reply)
{
    return evbuffer_get_length(reply->out);
}

void resp_reply_clear(struct resp_reply *reply)
{
    (void)evbuffer_drain(reply->out, evbuffer_get_length(reply->out));
    reply->overflow = false;
}

// Whether `len` more bytes may be added.
static bool admit(struct resp_reply *r, size_t len)
{
    if (!resp_reply_ok(r))
        return false;
    size_t used = evbuffer_get_length(r->out);
    if (r->limit_bytes != 0 && (used > r->limit_bytes || len > r->limit_bytes - used))
        r->overflow = true;
    return !r->overflow;
}

static void add(struct resp_reply *r, const void *data, size_t len)
{
    if (len != 0 && admit(r, len) && evbuffer_add(r->out, data, len) != 0)
        r->failed = true;
}

// "<type><number>\r\n"
static void add_head(struct resp_reply *r, char type, uint64_t number)
{
    char head[32];
    int len = snprintf(head, sizeof head, "%c%" PRIu64 "\r\n", type, number);
    add(r, head, (size_t)len);
}

void resp_status(struct resp_reply *reply, const char *text)
{
    add(reply, "+", 1);
    add(reply, text, strlen(text));
    add(reply, "\r\n", 2);
}

void resp_error_bytes(struct resp_reply *reply, const void *text, size_t len)
{
    char line[ERROR_TEXT_MAX + 3];
    if (len > ERROR_TEXT_MAX)
        len = ERROR_TEXT_MAX;
    line[0] = '-';
    memcpy(line + 1, text, len);
    for (size_t i = 1; i <= len; i++) {
        if (line[i] == '\r' || line[i] == '\n')
            line[i] = ' ';
    }
    memcpy(line + 1 + len, "\r\n", 2);
    add(reply, line, len + 3);
    reply->errors++;
}

void resp_error(struct resp_reply *reply, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0)
        len = 0;
    resp_error_bytes(reply, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

void resp_integer(struct resp_reply *reply, int64_t value)
{
    char line[32];
    int len = snprintf(line, sizeof line, ":%" PRId64 "\r\n", value);
    add(reply, line, (size_t)len);
}

void resp_bulk(struct resp_reply *reply, const void *data, size_t len)
{
    if (!admit(reply, len + 32))
        return;
    add_head(reply, '$', len);
    add(reply, data, len);
    add(reply, "\r\n", 2);
}

void resp_bulk_text(struct resp_reply *reply, const char *text)
{
    resp_bulk(reply, text, strlen(text));
}

void resp_bulk_uint(struct resp_reply *reply, uint64_t value)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%" PRIu64, value);
    resp_bulk(reply, text, (size_t)len);
}

void resp_verbatim(struct resp_reply *reply, const void *text, size_t len)
{
    if (reply->proto < 3) {
        resp_bulk(reply, text, len);
        return;
    }
    if (!admit(reply, len + 32))
        return;
    add_head(reply, '=', len + 4);
    add(reply, "txt:", 4);
    add(reply, text, len);
    add(reply, "\r\n", 2);
}

void resp_null(struct resp_reply *reply)
{
    if (reply->proto < 3)
        add(reply, "$-1\r\n", 5);
    else
        add(reply, "_\r\n", 3);
}

void resp_null_array(struct resp_reply *reply)
{
    if (reply->proto < 3)
        add(reply, "*-1\r\n", 5);
    else
        add(reply, "_\r\n", 3);
}

void resp_array(struct resp_reply *reply, size_t count)
{
    add_head(reply, '*', count);
}

void resp_map(struct resp_reply *reply, size_t pairs)
{
    if (reply->proto < 3)
        add_head(reply, '*', pairs * 2);
    else
        add_head(reply, '%', pairs);
}

void resp_set(struct resp_reply *reply, size_t count)
{
    add_head(reply, reply->proto < 3 ? '*' : '~', count);
}

bool resp_list_begin(struct resp_reply *reply, struct resp_reply *sub)
{
    size_t used = evbuffer_get_length(reply->out);
    size_t limit = reply->limit_bytes;
    if (limit != 0)
        limit = limit > used ? limit - used : 1;
    if (resp_reply_ok(reply) && resp_reply_init(sub, limit)) {
        sub->proto = reply->proto;
        return true;
    }
    reply->failed = true;
    return false;
}

void resp_reply_append(struct resp_reply *reply, struct resp_reply *from)
{
    reply->overflow |= from->overflow;
    reply->failed |= from->failed;
    reply->errors += from->errors;
    if (admit(reply, evbuffer_get_length(from->out)) && evbuffer_add_buffer(reply->out, from->out) != 0)
        reply->failed = true;
}

void resp_list_finish(struct resp_reply *reply, struct resp_reply *sub, size_t count)
{
    resp_array(reply, count);
    resp_reply_append(reply, sub);
    resp_reply_deinit(sub);
}
