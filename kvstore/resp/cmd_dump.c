// DUMP and RESTORE: a value as a payload that Redis takes, and back.
#include <stdlib.h>
#include <string.h>

#include "kvstore/rdb/rdb_dump.h"
#include "kvstore/resp/args.h"
#include "kvstore/resp/events.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"

#define FREQ_MAX 255

static void release(void *bytes, size_t len)
{
    if (bytes != NULL)
        explicit_bzero(bytes, len);
    free(bytes);
}

void resp_cmd_dump(struct resp_call *call)
{
    struct kv_view view;
    uint8_t *payload = NULL;
    size_t len = 0;
    enum kv_status status = resp_store_get(call, &call->args[1], &view);
    if (status == KV_NOT_FOUND) {
        resp_event(call, RESP_EVENT_MISS, "keymiss", &call->args[1]);
        resp_null(call->reply);
        return;
    }
    if (status == KV_OK) {
        if (rdb_dump_make(view.data, view.len, true, &payload, &len) != RDB_DUMP_OK)
            status = KV_NO_MEMORY;
        resp_store_release(call, &view);
    }
    if (status == KV_OK)
        resp_bulk(call->reply, payload, len);
    else
        resp_store_error(call, status);
    release(payload, len);
}

// ---- RESTORE

struct restore {
    bool replace, absolute;
    int64_t idle, freq; // -1: not given. Checked only: the memory tier keeps neither
    int64_t ttl;
    uint8_t *value; // malloc'ed
    size_t len;
};

// A number from 0 to max; `text` is the error for others. False: an error was replied.
static bool number_of(struct resp_call *call, const struct resp_arg *arg, int64_t max, const char *text,
                      int64_t *number)
{
    if (!resp_arg_int64(arg, number)) {
        resp_error(call->reply, RESP_NOT_INTEGER);
        return false;
    }
    if (*number >= 0 && *number <= max)
        return true;
    resp_error(call->reply, "%s", text);
    return false;
}

// False: an error was replied.
static bool restore_options(struct resp_call *call, struct restore *r)
{
    const struct resp_arg *args = call->args;
    for (size_t i = 4; i < call->argc; i++) {
        bool more = i + 1 < call->argc, ok = true;
        if (resp_arg_is(&args[i], "replace")) {
            r->replace = true;
        } else if (resp_arg_is(&args[i], "absttl")) {
            r->absolute = true;
        } else if (resp_arg_is(&args[i], "idletime") && more && r->freq < 0) {
            ok = number_of(call, &args[++i], INT64_MAX, "ERR Invalid IDLETIME value, must be >= 0", &r->idle);
        } else if (resp_arg_is(&args[i], "freq") && more && r->idle < 0) {
            ok = number_of(call, &args[++i], FREQ_MAX, "ERR Invalid FREQ value, must be >= 0 and <= 255",
                           &r->freq);
        } else {
            resp_error(call->reply, RESP_SYNTAX_ERROR);
            return false;
        }
        if (!ok)
            return false;
    }
    return true;
}

// False: an error was replied.
static bool read_payload(struct resp_call *call, struct restore *r)
{
    const struct resp_arg *payload = &call->args[3];
    enum rdb_kind kind;
    switch (rdb_dump_read(payload->data, payload->len, KV_VALUE_MAX, &r->value, &r->len, &kind)) {
    case RDB_DUMP_OK:
        return true;
    case RDB_DUMP_BAD_VERSION:
    case RDB_DUMP_BAD_CHECKSUM:
        resp_error(call->reply, "ERR DUMP payload version or checksum are wrong");
        return false;
    case RDB_DUMP_OTHER_KIND:
        resp_error(call->reply,
                   "ERR Bad data format: this server keeps strings, and the payload is of another type (%s)",
                   rdb_kind_name(kind, 1));
        return false;
    case RDB_DUMP_TOO_LARGE:
        resp_store_error(call, KV_TOO_LARGE);
        return false;
    case RDB_DUMP_NO_MEMORY:
        resp_store_error(call, KV_NO_MEMORY);
        return false;
    case RDB_DUMP_BAD_FORMAT:
        break;
    }
    resp_error(call->reply, "ERR Bad data format");
    return false;
}

// Stores it, or leaves it away when its time has passed: then an old value goes.
static enum kv_status store_value(struct resp_call *call, const struct restore *r)
{
    const struct resp_arg *key = &call->args[1];
    int64_t now_ms = (int64_t)resp_now_ms(call->session->shared), expire_ms = r->ttl;
    if (r->ttl != 0 && !r->absolute && __builtin_add_overflow(r->ttl, now_ms, &expire_ms))
        expire_ms = 0; // a time that cannot be said has passed, as it has for Redis, where the sum wraps
    enum kv_status status;
    if (r->ttl != 0 && expire_ms <= now_ms) {
        status = r->replace ? resp_store_delete(call, key) : KV_NOT_FOUND;
        if (status == KV_OK)
            resp_event(call, RESP_EVENT_GENERIC, "del", key);
        return status == KV_NOT_FOUND ? KV_OK : status;
    }
    status = resp_store_put(call, key, r->value, r->len, (uint64_t)expire_ms, 0);
    if (status == KV_OK) {
        resp_event(call, RESP_EVENT_NEW, "new", key);
        resp_event(call, RESP_EVENT_GENERIC, "restore", key);
    }
    return status;
}

void resp_cmd_restore(struct resp_call *call)
{
    struct restore r = {.idle = -1, .freq = -1};
    if (!restore_options(call, &r))
        return;
    if (!r.replace && resp_store_exists(call, &call->args[1]) == KV_OK) {
        resp_error(call->reply, "BUSYKEY Target key name already exists.");
        return;
    }
    if (!number_of(call, &call->args[2], INT64_MAX, "ERR Invalid TTL value, must be >= 0", &r.ttl) ||
        !read_payload(call, &r))
        return;
    enum kv_status status = store_value(call, &r);
    if (status == KV_OK)
        resp_status(call->reply, "OK");
    else
        resp_store_error(call, status);
    release(r.value, r.len);
}
