#include "keyserver/http_chunked.h"

#include <string.h>

#include "common/hex.h"

enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER };

#define LINE_MAX_BYTES 256     // a size line with its extensions, or a trailer line
#define OVERHEAD_MAX   (16384) // chunk framing of one body, so that one-byte chunks cannot cost without bound

static bool has_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return true;
    return false;
}

// The next CRLF line in buf[*in .. len): its length, without CRLF, in *line_len, and *in behind it.
static int take_line(const char *buf, size_t *in, size_t len, const char **line, size_t *line_len)
{
    const char *end = memmem(buf + *in, len - *in, "\r\n", 2);
    if (end == NULL)
        return len - *in > LINE_MAX_BYTES + 1 ? 400 : HTTP_MORE; // the last byte may be its CR
    *line = buf + *in;
    *line_len = (size_t)(end - *line);
    if (*line_len > LINE_MAX_BYTES || has_control(*line, *line_len))
        return 400;
    *in += *line_len + 2;
    return HTTP_DONE;
}

static int parse_size(const char *line, size_t len, size_t *size)
{
    size_t i = 0, value = 0;
    for (int digit; i < len && (digit = hex_digit(line[i])) >= 0; i++) {
        if (i == 8)
            return 413;
        value = value << 4 | (size_t)digit;
    }
    size_t digits = i;
    while (i < len && (line[i] == ' ' || line[i] == '\t'))
        i++;
    if (digits == 0 || (i < len && line[i] != ';'))
        return 400;
    *size = value;
    return 0;
}

int http_chunked_read(struct http_reader *r, size_t body_max, char *buf, size_t len)
{
    for (;;) {
        const char *line;
        size_t line_len;
        int result;

        if ((r->in - r->head_len) - (r->out - r->head_len) > OVERHEAD_MAX)
            return 400;
        switch (r->chunk_state) {
        case CHUNK_SIZE:
            if ((result = take_line(buf, &r->in, len, &line, &line_len)) != HTTP_DONE)
                return result;
            if ((result = parse_size(line, line_len, &r->chunk_left)) != 0)
                return result;
            if (r->chunk_left > body_max - (r->out - r->head_len))
                return 413;
            r->chunk_state = r->chunk_left == 0 ? CHUNK_TRAILER : CHUNK_DATA;
            break;
        case CHUNK_DATA: {
            size_t n = len - r->in < r->chunk_left ? len - r->in : r->chunk_left;
            memmove(buf + r->out, buf + r->in, n);
            r->out += n;
            r->in += n;
            r->chunk_left -= n;
            if (r->chunk_left > 0)
                return HTTP_MORE;
            r->chunk_state = CHUNK_DATA_END;
            break;
        }
        case CHUNK_DATA_END:
            if (len - r->in < 2)
                return HTTP_MORE;
            if (memcmp(buf + r->in, "\r\n", 2) != 0)
                return 400;
            r->in += 2;
            r->chunk_state = CHUNK_SIZE;
            break;
        default: // trailer fields are read over
            if ((result = take_line(buf, &r->in, len, &line, &line_len)) != HTTP_DONE)
                return result;
            if (line_len == 0)
                return HTTP_DONE;
            break;
        }
    }
}
