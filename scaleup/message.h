// One message of the rescale protocol (PROTOCOL.md): a line of JSON in, a struct out, and back. Pure: no sockets, no clock, no
// allocation beyond jansson's own during a call. Any thread.
#ifndef MEC_SCALEUP_MESSAGE_H
#define MEC_SCALEUP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"

enum {
    MESSAGE_VERSION = 1,
    MESSAGE_LINE_MAX = 16384,     // bytes of a client's line, LF included
    MESSAGE_ANSWER_MAX = 1 << 20, // of a server's: a status may have many VNFs
    MESSAGE_NAME_MAX = 64,        // names and ids
    MESSAGE_TEXT_MAX = 256,       // reason, detail
};
#define MESSAGE_NUMBER_MAX ((1ull << 53) - 1) // bytes and milliseconds

enum message_type {
    // from clients
    MESSAGE_HELLO,
    MESSAGE_RESCALE,
    MESSAGE_RECLAIMING,
    MESSAGE_PING,
    MESSAGE_STATUS_ASK, // {"type":"status"} without pool_bytes
    // from the server
    MESSAGE_WELCOME,
    MESSAGE_RESPONSE,
    MESSAGE_RECLAIM,
    MESSAGE_GRANT,
    MESSAGE_OFFER,
    MESSAGE_PONG,
    MESSAGE_STATUS, // with pool_bytes
    MESSAGE_ERROR,
    MESSAGE_UNKNOWN, // well-formed, of a type that this version does not know
};

// Of MESSAGE_RESPONSE, and of MESSAGE_RECLAIMING (accepted, partial, refused).
enum message_state {
    STATE_ACCEPTED,
    STATE_PROGRESS,
    STATE_DONE,
    STATE_PARTIAL,
    STATE_DEFERRED,
    STATE_INFEASIBLE,
    STATE_DENIED,
    STATE_ERROR,
    STATE_REFUSED,
};
// "accepted"; never NULL.
const char *message_state_name(enum message_state state);
// Whether a response of this state is the last one: all but accepted and progress.
bool message_state_is_final(enum message_state state);

enum message_role { ROLE_VNF, ROLE_OPERATOR };

enum message_error_code {
    ERROR_MALFORMED,
    ERROR_VERSION,
    ERROR_DENIED,
    ERROR_UNKNOWN_VNF,
    ERROR_REPLACED,
    ERROR_TIMEOUT,
    ERROR_BUSY,
    ERROR_UNEXPECTED,
};
const char *message_error_code_name(enum message_error_code code);

typedef char message_name[MESSAGE_NAME_MAX + 1];
typedef char message_text[MESSAGE_TEXT_MAX + 1];

// A VNF's line of a status.
struct message_vnf {
    message_name vnf, backend;
    bool connected;
    uint64_t granted_bytes, actual_bytes, used_bytes, min_bytes, max_bytes, priority, overdue, target_bytes;
    char change[8]; // raise, return, none
    message_text detail;
};

struct message {
    enum message_type type;
    message_name id, vnf, reclaim; // "": not there
    uint64_t version;
    enum message_role role;
    enum message_state state;
    enum message_error_code code;
    bool final;
    bool has_min, has_holding, has_priority; // of min_bytes in a rescale, holding_bytes, priority
    uint64_t target_bytes, min_bytes, max_bytes, granted_bytes, holding_bytes, granularity;
    uint64_t deadline_ms, retry_ms, lease_ms, priority;
    uint64_t pool_bytes, free_bytes, available_bytes;
    message_name backend;
    message_text reason, detail;
    struct message_vnf *vnfs; // MESSAGE_STATUS: malloc'ed, message_release() frees
    size_t vnf_count;
};

// Parses one line (without its LF; a CR at the end is allowed). False: malformed; *e says what was found and what was expected,
// repeating at most 64 bytes of the line, printable ASCII only. *message is overwritten either way and needs message_release() only after true.
bool message_parse(const char *line, size_t len, struct message *message, struct error *e);
void message_release(struct message *message);

// Writes the line with its LF into a malloc'ed string of *len bytes that the caller frees. Only the members that its type has are
// written. NULL: out of memory, or longer than MESSAGE_ANSWER_MAX.
char *message_format(const struct message *message, size_t *len);

// 1 to 64 characters of A-Z a-z 0-9 . _ -
bool message_name_is_good(const char *text);

#endif
