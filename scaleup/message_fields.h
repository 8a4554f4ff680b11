// Which members each message has: one table that parsing and formatting read.
#ifndef MEC_SCALEUP_MESSAGE_FIELDS_H
#define MEC_SCALEUP_MESSAGE_FIELDS_H

#include <stddef.h>

#include "scaleup/message.h"

enum message_field_kind {
    FIELD_NAME,   // message_name
    FIELD_TEXT,   // message_text
    FIELD_NUMBER, // uint64_t, 0 to MESSAGE_NUMBER_MAX
    FIELD_FLAG,   // bool
    FIELD_ROLE,
    FIELD_STATE,
    FIELD_CODE,
    FIELD_CHANGE, // char[8]: raise, return, none
    FIELD_VNFS,
};

#define FIELD_NO_FLAG SIZE_MAX

struct message_field {
    const char *name;
    enum message_field_kind kind;
    bool required;
    size_t offset; // in struct message
    size_t
        has; // of the bool that says that it is there; FIELD_NO_FLAG: none, and 0 and "" mean that it is not
    uint64_t preset; // FIELD_NUMBER that is not there
    uint64_t max;    // FIELD_NUMBER; 0: MESSAGE_NUMBER_MAX
};

struct message_kind {
    const char *name; // "hello"
    enum message_type type;
    const struct message_field *fields;
    size_t count;
};

extern const struct message_kind message_kinds[];
extern const size_t message_kind_count;

// The members of a VNF's line in a status; offsets in struct message_vnf.
extern const struct message_field message_vnf_fields[];
extern const size_t message_vnf_field_count;

// No control characters: neither ASCII's nor, in UTF-8, U+0080 to U+009F. They would break a log line or change a terminal.
bool message_text_is_clean(const char *text);

// -1: there is no such name.
int message_state_by_name(const char *name);
int message_code_by_name(const char *name);

#endif
