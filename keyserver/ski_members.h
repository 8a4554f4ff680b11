// The members of a SKI request's body, as a reader of JSON finds them: strings, not yet looked at. Two readers
// give them: ski_plain.h the usual form, ski_json.h every form.
#ifndef MEC_KEYSERVER_SKI_MEMBERS_H
#define MEC_KEYSERVER_SKI_MEMBERS_H

#include <stddef.h>

enum ski_member {
    SKI_MEMBER_PROTOCOL,
    SKI_MEMBER_SPKI,
    SKI_MEMBER_METHOD,
    SKI_MEMBER_HASH,
    SKI_MEMBER_SCHEME,
    SKI_MEMBER_CLIENT_VERSION,
    SKI_MEMBER_INPUT,
    SKI_MEMBER_COUNT
};

// As JSON spells them.
#define SKI_MEMBER_NAMES                                                                                     \
    {                                                                                                        \
        [SKI_MEMBER_PROTOCOL] = "protocol", [SKI_MEMBER_SPKI] = "spki", [SKI_MEMBER_METHOD] = "method",      \
        [SKI_MEMBER_HASH] = "hash", [SKI_MEMBER_SCHEME] = "scheme",                                          \
        [SKI_MEMBER_CLIENT_VERSION] = "client_version", [SKI_MEMBER_INPUT] = "input",                        \
    }

// A slice of the body, or of what its reader made of it; not NUL-terminated, may hold NUL.
struct ski_text {
    const char *at; // NULL: the member is not there
    size_t len;     // 1 or more when it is
};

struct ski_members {
    struct ski_text text[SKI_MEMBER_COUNT];
};

#endif
