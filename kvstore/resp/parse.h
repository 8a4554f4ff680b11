// The request side of the Redis protocol: bytes in, commands out. Knows no sockets, no commands and no store.
//
//   *2\r\n $3\r\n GET\r\n $5\r\n hello\r\n      an array of bulk strings: what clients send
//   GET hello\r\n                               an inline command: what people type
//
// The caller keeps a contiguous buffer whose first byte is the first byte of a command, and calls
// resp_parse() whenever there are more bytes. The parser remembers how far it came, so that no byte is looked
// at twice, whatever the pieces it comes in: the same stream gives the same commands at every split. The
// arguments of a command from an array point into the caller's buffer (no copy); those of an inline command
// into memory of the parser (quotes are undone there).
//
// Memory: what a peer announces costs nothing until the bytes come; the argument table grows with the
// arguments that came. Every limit is in struct resp_limits. Protocol errors have the texts of Redis 7.0 and
// are final: reply and close.
//
// Lenient as Redis is: the two bytes after a bulk string are not looked at, an array of length <= 0 is no
// command. Stricter: a line that is longer than max_inline_bytes is refused also when its end came in the
// same piece.
#ifndef MEC_KVSTORE_RESP_PARSE_H
#define MEC_KVSTORE_RESP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resp_limits {         // 0: the default
    size_t max_args;         // of one command: 1,048,576
    size_t max_bulk_bytes;   // of one argument: 512 MiB
    size_t max_query_bytes;  // of one command as sent: 1 GiB
    size_t max_inline_bytes; // of an inline command, or of a line with a length: 64 KiB
    bool
        unauthenticated; // at most 10 arguments of 16 KiB each, as Redis allows those who have not said who they are
};

// Puts the defaults where there are zeros.
void resp_limits_fill(struct resp_limits *limits);

struct resp_arg { // a slice: somebody else owns the bytes
    const uint8_t *data;
    size_t len;
};

enum resp_parse_status {
    RESP_NEED_MORE, // the buffer holds no whole command yet
    RESP_COMMAND,   // parser->args, argc, consumed are set; argc 0: nothing to do (empty line, empty array)
    RESP_PROTOCOL_ERROR, // parser->error says what; every later call gives the same
    RESP_NO_MEMORY,
};

struct resp_parser {
    // Of the last command; valid until the next call, and only while the caller's buffer stays where it is.
    struct resp_arg *args;
    size_t argc;
    size_t consumed; // how many bytes the command took: the next one begins there
    char error[64];  // "Protocol error: invalid bulk length"

    // Private.
    struct resp_limits limits;
    enum resp_parse_status last;
    size_t at;        // bytes of the buffer that are done with
    size_t args_left; // of the array; 0: its head is not read yet
    size_t bulk_len;
    bool in_array;
    bool in_bulk; // bulk_len is known, its bytes are awaited
    size_t args_cap;
    size_t *offsets; // of each argument from the buffer's start: the buffer may move between calls
    uint8_t *line;   // the unquoted words of an inline command
    size_t line_cap;
};

// limits may be NULL. Allocates nothing.
void resp_parser_init(struct resp_parser *parser, const struct resp_limits *limits);
void resp_parser_deinit(struct resp_parser *parser);

// Looks for one command at the start of buf. After RESP_COMMAND the next call starts anew: pass the bytes
// after `consumed`. After RESP_NEED_MORE pass the same bytes again, followed by more. buf may be NULL when
// len is 0.
enum resp_parse_status resp_parse(struct resp_parser *parser, const uint8_t *buf, size_t len);

// How long the buffer must be at least before the next call can give more than RESP_NEED_MORE: what to
// reserve. It is what the peer announced: grow towards it as bytes come, do not allocate it ahead.
size_t resp_parser_wanted(const struct resp_parser *parser);

// ---- for inline.c

// Splits a line into words as Redis does: blanks part them, "..." with \n \r \t \b \a \xHH \" \\ and '...'
// with \' are one word, and a closing quote must end its word. A NUL byte ends the line. The words' bytes are
// put one after the other to `out` (capacity len); add(arg, offset into out, length) is called for each and
// may return false to stop.
enum resp_split { RESP_SPLIT_OK, RESP_SPLIT_UNBALANCED, RESP_SPLIT_STOPPED };
enum resp_split resp_split_line(const uint8_t *line, size_t len, uint8_t *out,
                                bool (*add)(void *arg, size_t offset, size_t len), void *arg);

#endif
