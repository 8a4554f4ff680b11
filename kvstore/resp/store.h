// What the handlers do with the store: databases, keys by Redis's rules, writes that are noted, statuses as error replies.
//
// Databases. Database 0 is the store's own keys, as every user of the engine sees them; a key of database 1 to 15 lies in the store behind a prefix (db.h). call->db says
// which is meant.
//
// Keys. The store takes keys of up to 65535 bytes, less the prefix; Redis any. A key outside that is not there for those who read, and an error for those who write.
//
// Waiting. Where the call may not wait for the disk and would have to: KV_PENDING, and call->again is set (command.h).
#ifndef MEC_KVSTORE_RESP_STORE_H
#define MEC_KVSTORE_RESP_STORE_H

#include "kvstore/resp/command.h"

#define RESP_SYNTAX_ERROR "ERR syntax error"
#define RESP_NOT_INTEGER  "ERR value is not an integer or out of range"

// Replies a failure of the store. status is not KV_OK; for KV_PENDING nothing is replied.
void resp_store_error(struct resp_call *call, enum kv_status status);

// Memory only.
enum kv_status resp_store_exists(struct resp_call *call, const struct resp_arg *key);
// Unix milliseconds, 0: never; KV_NOT_FOUND. Memory only.
enum kv_status resp_store_expiry(struct resp_call *call, const struct resp_arg *key, uint64_t *expire_ms);

// A view of the value, to be released by resp_store_release() before the handler returns; KV_NOT_FOUND.
enum kv_status resp_store_get(struct resp_call *call, const struct resp_arg *key, struct kv_view *view);
void resp_store_release(struct resp_call *call, struct kv_view *view);

// Replies the value as a bulk string, or null; an error reply otherwise. Returns the store's status.
enum kv_status resp_store_reply_value(struct resp_call *call, const struct resp_arg *key);

// Whether the keys may be written without waiting for a read of the disk: KV_OK, or KV_PENDING. For handlers that write several keys: to be asked before the first.
enum kv_status resp_store_ready(struct resp_call *call, const struct resp_arg *key);

// Writes: mark the session as having written, tell who watches or tracks the key (events.h). A status that is neither KV_OK, KV_NOT_FOUND nor KV_EXISTS is to be
// replied with resp_store_error(). They check resp_store_ready() themselves.
enum kv_status resp_store_put(struct resp_call *call, const struct resp_arg *key, const void *value,
                              size_t len, uint64_t expire_ms, unsigned flags);
enum kv_status resp_store_delete(struct resp_call *call, const struct resp_arg *key);
// The same, but the value's bytes may stay in the file until kv_sync(), and whoever watches or tracks keys is not told until resp_flushed(), which the handler both
// calls after the last, also when one failed.
enum kv_status resp_store_delete_one_of_many(struct resp_call *call, const struct resp_arg *key);
enum kv_status resp_store_set_expiry(struct resp_call *call, const struct resp_arg *key, uint64_t expire_ms);

#endif
