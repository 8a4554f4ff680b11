// The slow log: commands that took longer than a threshold, the latest ones. Kept are what SLOWLOG GET shows: the first 31 arguments and how many more there were, 128
// bytes of each, nothing of what is secret (resp_argument_is_secret()).
#ifndef MEC_KVSTORE_RESP_SLOWLOG_H
#define MEC_KVSTORE_RESP_SLOWLOG_H

#include "kvstore/resp/command.h"

struct resp_slowlog; // in struct resp_shared

struct resp_slowlog *resp_slowlog_create(void); // NULL: no memory
void resp_slowlog_destroy(struct resp_slowlog **log);

// A command has taken so long. Cheap when that is not slow. Any thread.
void resp_slowlog_note(const struct resp_call *call, uint64_t us);

// slowlog-log-slower-than (microseconds; negative: none) and slowlog-max-len. Any thread.
void resp_slowlog_set(struct resp_shared *shared, int64_t slower_than_us, uint64_t most);
int64_t resp_slowlog_slower_than(const struct resp_shared *shared);
uint64_t resp_slowlog_most(const struct resp_shared *shared);

uint64_t resp_slowlog_length(const struct resp_shared *shared);
void resp_slowlog_clear(struct resp_shared *shared);
// Replies the latest `most` of them, the last one first.
void resp_slowlog_reply(const struct resp_shared *shared, struct resp_reply *reply, uint64_t most);

// Whether an argument is a password, or may be one, and must not be shown to other clients: of AUTH, HELLO, ACL SETUSER, MIGRATE, CONFIG SET.
bool resp_argument_is_secret(const struct resp_call *call, size_t position);

#endif
