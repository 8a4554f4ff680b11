// What the commands on strings and bits share: values that are read, changed and put back, with the errors and the keyspace events of Redis.
#ifndef MEC_KVSTORE_RESP_VALUE_H
#define MEC_KVSTORE_RESP_VALUE_H

#include "kvstore/resp/events.h"
#include "kvstore/resp/options.h"
#include "kvstore/resp/store.h"

struct resp_value {
    struct kv_view view; // of an absent key: empty, no expiry
    bool there;
};

// The value of a key, or that there is none. False: an error was replied, or the command runs again. To be released before the handler returns (both are).
bool resp_value_get(struct resp_call *call, const struct resp_arg *key, struct resp_value *value);
void resp_value_release(struct resp_call *call, struct resp_value *value);

// The same for a command that only wants to read the key: an absent one is an event ("keymiss").
bool resp_value_read(struct resp_call *call, const struct resp_arg *key, struct resp_value *value);
// Those of several keys that are absent, as events. For commands that read many: behind the last that may have to run again.
void resp_value_missed(struct resp_call *call, const struct resp_arg *keys, size_t count);

// Replies the value, or null.
void resp_value_reply(struct resp_call *call, const struct resp_value *value);
// The same, and releases it: the reply may keep it instead of a copy.
void resp_value_give(struct resp_call *call, struct resp_value *value);

// Puts a value; then the events: "new" for a key that was absent, and `event` (may be NULL).
enum kv_status resp_value_store(struct resp_call *call, const struct resp_arg *key, const void *data,
                                size_t len, uint64_t expire_ms, unsigned flags, const char *event);
// The same; false: an error was replied, or the command runs again.
bool resp_value_put(struct resp_call *call, const struct resp_arg *key, const void *data, size_t len,
                    uint64_t expire_ms, const char *event);

// How long a value may become: proto-max-bulk-len.
uint64_t resp_value_max(const struct resp_call *call);
// Whether `len` bytes behind the first `at` make a value that is not too long; else the error is replied.
bool resp_value_fits(struct resp_call *call, uint64_t at, uint64_t len);

// A copy of the value to be changed, len bytes (at least its own length), zeros behind it; to be freed. NULL: the error was replied.
uint8_t *resp_value_copy(struct resp_call *call, const struct resp_value *value, size_t len);

// An argument as a number; false: the error was replied.
bool resp_value_number(struct resp_call *call, const struct resp_arg *arg, int64_t *number);

// An option's time as Unix milliseconds, 0 when kind is RESP_TIME_NONE; false: the error was replied.
bool resp_value_time(struct resp_call *call, enum resp_time_kind kind, const struct resp_arg *arg,
                     uint64_t *expire_ms);

// A piece first..last of `len` units, both inclusive and counted from the end when negative; what is before the first unit counts as it. False: empty.
bool resp_value_range(int64_t first, int64_t last, uint64_t len, uint64_t *from, uint64_t *to);
// Whether both count from the end and are in the wrong order: empty for GETRANGE and BITCOUNT, though both may be before the first unit. BITPOS does not ask.
bool resp_value_backwards(int64_t first, int64_t last);

#endif
