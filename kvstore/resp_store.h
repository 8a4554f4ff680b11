// What the handlers do with the store: keys by Redis's rules, writes that are noted, statuses as error
// replies.
//
// The store takes keys of 1 to 65535 bytes; Redis any. A key outside that is not there for those who read,
// and an error for those who write.
#ifndef MEC_KVSTORE_RESP_STORE_H
#define MEC_KVSTORE_RESP_STORE_H

#include "kvstore/resp_command.h"

#define RESP_SYNTAX_ERROR "ERR syntax error"
#define RESP_NOT_INTEGER  "ERR value is not an integer or out of range"

// Replies a failure of the store. status is not KV_OK.
void resp_store_error(struct resp_call *call, enum kv_status status);

// KV_OK or KV_NOT_FOUND; memory only.
enum kv_status resp_store_exists(struct resp_call *call, const struct resp_arg *key);

// Replies the value as a bulk string, or null; an error reply otherwise. Returns the store's status.
enum kv_status resp_store_reply_value(struct resp_call *call, const struct resp_arg *key);

// Unix milliseconds, 0: never; KV_NOT_FOUND.
enum kv_status resp_store_expiry(struct resp_call *call, const struct resp_arg *key, uint64_t *expire_ms);

// Writes: mark the session as having written and call on_change. The caller holds the key's lock. A status
// that is neither KV_OK, KV_NOT_FOUND nor KV_EXISTS is to be replied with resp_store_error().
enum kv_status resp_store_put(struct resp_call *call, const struct resp_arg *key,
                              const struct resp_arg *value, uint64_t expire_ms, unsigned flags);
enum kv_status resp_store_delete(struct resp_call *call, const struct resp_arg *key);
enum kv_status resp_store_set_expiry(struct resp_call *call, const struct resp_arg *key, uint64_t expire_ms);

void resp_store_lock(struct resp_call *call, const struct resp_arg *key);
void resp_store_unlock(struct resp_call *call, const struct resp_arg *key);

#endif
