#include "kvstore/resp/reply.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERROR_TEXT_MAX 512

void resp_reply_init(struct resp_reply *reply, size_t limit_bytes)
{
    *reply = (struct resp_reply){.limit_bytes = limit_bytes, .proto = 2};
}

void resp_reply_deinit(struct resp_reply *reply)
{
    resp_out_clear(&reply->out);
}

bool resp_reply_ok(const struct resp_reply *reply)
{
    return !reply->overflow && !reply->failed;
}

size_t resp_reply_length(const struct resp_reply *reply)
{
    return reply->out.length;
}

void resp_reply_clear(struct resp_reply *reply)
{
    resp_out_clear(&reply->out);
    reply->overflow = false;
}

struct resp_mark resp_reply_mark(const struct resp_reply *reply)
{
    return (struct resp_mark){resp_out_mark(&reply->out), reply->errors, reply->overflow, reply->failed};
}

void resp_reply_rewind(struct resp_reply *reply, const struct resp_mark *mark)
{
    resp_out_rewind(&reply->out, &mark->out);
    reply->errors = mark->errors;
    reply->overflow = mark->overflow;
    reply->failed = mark->failed;
}

// Whether `len` more bytes may be added.
static bool admit(struct resp_reply *r, size_t len)
{
    if (!resp_reply_ok(r))
        return false;
    if (r->limit_bytes != 0 && (r->out.length > r->limit_bytes || len > r->limit_bytes - r->out.length))
        r->overflow = true;
    return !r->overflow;
}

static void add(struct resp_reply *r, const void *data, size_t len)
{
    if (len != 0 && admit(r, len) && !resp_out_add(&r->out, data, len))
        r->failed = true;
}

// "<type><number>\r\n" to the end of line[32]; returns where it begins.
static char *write_head(char line[32], char type, uint64_t number)
{
    char *at = line + 32;
    *--at = '\n';
    *--at = '\r';
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    *--at = type;
    return at;
}

static void add_head(struct resp_reply *r, char type, uint64_t number)
{
    char line[32];
    char *at = write_head(line, type, number);
    add(r, at, (size_t)(line + sizeof line - at));
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
    size_t code = strcspn(line + 1, " \r");
    (void)snprintf(reply->error_code, sizeof reply->error_code, "%.*s", (int)code, line + 1);
}

void resp_error(struct resp_reply *reply, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t n = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    while (n != 0 && (text[n - 1] == '\r' || text[n - 1] == '\n')) // of an argument at its end
        n--;
    resp_error_bytes(reply, text, n);
}

void resp_integer(struct resp_reply *reply, int64_t value)
{
    char line[32];
    int len = snprintf(line, sizeof line, ":%" PRId64 "\r\n", value);
    add(reply, line, (size_t)len);
}

void resp_bulk(struct resp_reply *reply, const void *data, size_t len)
{
    char line[32];
    char *head = write_head(line, '$', len);
    size_t head_len = (size_t)(line + sizeof line - head);
    if (!admit(reply, head_len + len + 2))
        return;
    bool added = resp_out_add(&reply->out, head, head_len) &&
                 (len == 0 || resp_out_add(&reply->out, data, len)) && resp_out_add(&reply->out, "\r\n", 2);
    reply->failed |= !added;
}

void resp_bulk_view(struct resp_reply *reply, struct kv_store *store, struct kv_view *view)
{
    char line[32];
    char *head = write_head(line, '$', view->len);
    size_t head_len = (size_t)(line + sizeof line - head);
    if (!reply->lends || view->len < RESP_LEND_LEAST) {
        resp_bulk(reply, view->data, view->len);
        kv_view_release(store, view);
    } else if (!admit(reply, head_len + view->len + 2)) {
        kv_view_release(store, view);
    } else if (!resp_out_add(&reply->out, head, head_len) || !resp_out_lend(&reply->out, store, view)) {
        reply->failed = true;
        kv_view_release(store, view);
    } else if (!resp_out_add(&reply->out, "\r\n", 2)) {
        reply->failed = true;
    }
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

void resp_push(struct resp_reply *reply, size_t count)
{
    add_head(reply, reply->proto < 3 ? '*' : '>', count);
}

void resp_double(struct resp_reply *reply, double value)
{
    char text[64];
    int len;
    if (isinf(value))
        len = snprintf(text, sizeof text, "%s", value > 0 ? "inf" : "-inf");
    else
        len = snprintf(text, sizeof text, "%.17g", value);
    if (reply->proto < 3) {
        resp_bulk(reply, text, (size_t)len);
        return;
    }
    add(reply, ",", 1);
    add(reply, text, (size_t)len);
    add(reply, "\r\n", 2);
}

void resp_bool(struct resp_reply *reply, bool value)
{
    if (reply->proto < 3)
        resp_integer(reply, value);
    else
        add(reply, value ? "#t\r\n" : "#f\r\n", 4);
}

bool resp_list_begin(struct resp_reply *reply, struct resp_reply *sub)
{
    size_t limit = reply->limit_bytes;
    if (limit != 0)
        limit = limit > reply->out.length ? limit - reply->out.length : 1;
    if (!resp_reply_ok(reply))
        return false;
    resp_reply_init(sub, limit);
    sub->proto = reply->proto;
    return true;
}

void resp_reply_append(struct resp_reply *reply, struct resp_reply *from)
{
    reply->overflow |= from->overflow;
    reply->failed |= from->failed;
    reply->errors += from->errors;
    if (from->errors != 0)
        memcpy(reply->error_code, from->error_code, sizeof reply->error_code);
    if (admit(reply, from->out.length))
        resp_out_append(&reply->out, &from->out);
}

void resp_list_finish(struct resp_reply *reply, struct resp_reply *sub, size_t count)
{
    resp_array(reply, count);
    resp_reply_append(reply, sub);
    resp_reply_deinit(sub);
}
