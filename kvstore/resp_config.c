// CONFIG: the parameters, as a table.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kvstore/resp_args.h"
#include "kvstore/resp_handlers.h"
#include "kvstore/resp_store.h"

#define VALUE_MAX 48

struct parameter {
    const char *name;
    void (*get)(struct resp_shared *shared, char value[static VALUE_MAX]);
    // NULL: cannot be changed. False: *why says what was expected. Called for all parameters of a CONFIG SET
    // with apply false, then with true.
    bool (*set)(struct resp_shared *shared, const struct resp_arg *value, bool apply, const char **why);
};

static void put_uint(char value[static VALUE_MAX], uint64_t number)
{
    (void)snprintf(value, VALUE_MAX, "%" PRIu64, number);
}

static void get_appendfsync(struct resp_shared *shared, char value[static VALUE_MAX])
{
    static const char *const names[] = {
        [KV_FSYNC_ALWAYS] = "always", [KV_FSYNC_INTERVAL] = "everysec", [KV_FSYNC_NEVER] = "no"};
    (void)snprintf(value, VALUE_MAX, "%s", names[shared->fsync]);
}

static void get_appendonly(struct resp_shared *shared, char value[static VALUE_MAX])
{
    (void)shared;
    (void)snprintf(value, VALUE_MAX, "yes");
}

static void get_databases(struct resp_shared *shared, char value[static VALUE_MAX])
{
    (void)shared;
    put_uint(value, 1);
}

static void get_maxclients(struct resp_shared *shared, char value[static VALUE_MAX])
{
    put_uint(value, shared->max_clients);
}

static void get_maxmemory(struct resp_shared *shared, char value[static VALUE_MAX])
{
    struct kv_stats stats;
    kv_get_stats(shared->store, &stats);
    put_uint(value, stats.limit_bytes);
}

static bool set_maxmemory(struct resp_shared *shared, const struct resp_arg *value, bool apply,
                          const char **why)
{
    uint64_t bytes;
    if (!resp_arg_memory(value, &bytes)) {
        *why = "argument must be a memory value";
        return false;
    }
    if (!apply)
        return true;
    if (shared->most_memory != NULL) { // what cgroups and machine allow is not for a client to exceed
        uint64_t most = shared->most_memory(shared->most_memory_arg);
        bytes = bytes < most ? bytes : most;
    }
    if (kv_set_memory_limit(shared->store, bytes) != KV_OK) {
        *why = "the store refused the limit";
        return false;
    }
    return true;
}

static void get_bulk_max(struct resp_shared *shared, char value[static VALUE_MAX])
{
    put_uint(value, shared->limits.max_bulk_bytes);
}

static void get_query_max(struct resp_shared *shared, char value[static VALUE_MAX])
{
    put_uint(value, shared->limits.max_query_bytes);
}

static void get_save(struct resp_shared *shared, char value[static VALUE_MAX])
{
    (void)shared;
    value[0] = '\0';
}

static void get_timeout(struct resp_shared *shared, char value[static VALUE_MAX])
{
    put_uint(value, (shared->idle_timeout_ms + 999) / 1000);
}

static const struct parameter parameters[] = {
    {"appendfsync", get_appendfsync, NULL},
    {"appendonly", get_appendonly, NULL},
    {"client-query-buffer-limit", get_query_max, NULL},
    {"databases", get_databases, NULL},
    {"maxclients", get_maxclients, NULL},
    {"maxmemory", get_maxmemory, set_maxmemory},
    {"proto-max-bulk-len", get_bulk_max, NULL},
    {"save", get_save, NULL},
    {"timeout", get_timeout, NULL},
};
#define PARAMETERS (sizeof parameters / sizeof parameters[0])

static bool asked_for(const struct resp_call *call, const struct parameter *parameter)
{
    for (size_t i = 2; i < call->argc; i++) {
        const struct resp_arg *pattern = &call->args[i];
        if (resp_glob(pattern->data, pattern->len, (const uint8_t *)parameter->name, strlen(parameter->name),
                      true))
            return true;
    }
    return false;
}

void resp_cmd_config_get(struct resp_call *call)
{
    bool chosen[PARAMETERS];
    size_t count = 0;
    for (size_t i = 0; i < PARAMETERS; i++) {
        chosen[i] = asked_for(call, &parameters[i]);
        count += chosen[i];
    }
    resp_map(call->reply, count);
    for (size_t i = 0; i < PARAMETERS; i++) {
        char value[VALUE_MAX];
        if (!chosen[i])
            continue;
        parameters[i].get(call->session->shared, value);
        resp_bulk_text(call->reply, parameters[i].name);
        resp_bulk_text(call->reply, value);
    }
}

static const struct parameter *find_parameter(const struct resp_arg *name)
{
    for (size_t i = 0; i < PARAMETERS; i++) {
        if (resp_arg_is(name, parameters[i].name))
            return &parameters[i];
    }
    return NULL;
}

// False: an error was replied.
static bool set_one(struct resp_call *call, size_t at, bool apply)
{
    const struct resp_arg *name = &call->args[at];
    const struct parameter *parameter = find_parameter(name);
    const char *why = "can't set immutable config";
    if (parameter == NULL) {
        resp_error(call->reply, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                   (int)(name->len < 128 ? name->len : 128), (const char *)name->data);
        return false;
    }
    if (parameter->set != NULL && parameter->set(call->session->shared, &call->args[at + 1], apply, &why))
        return true;
    resp_error(call->reply, "ERR CONFIG SET failed (possibly related to argument '%s') - %s", parameter->name,
               why);
    return false;
}

// All or nothing: every value is checked before the first is applied.
void resp_cmd_config_set(struct resp_call *call)
{
    if (call->argc % 2 != 0) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return;
    }
    for (size_t i = 2; i < call->argc; i += 2) {
        const struct parameter *parameter = find_parameter(&call->args[i]);
        for (size_t j = 2; j < i; j += 2) {
            if (parameter != NULL && find_parameter(&call->args[j]) == parameter) {
                resp_error(call->reply,
                           "ERR CONFIG SET failed (possibly related to argument '%s') - duplicate parameter",
                           parameter->name);
                return;
            }
        }
        if (!set_one(call, i, false))
            return;
    }
    for (size_t i = 2; i < call->argc; i += 2) {
        if (!set_one(call, i, true))
            return;
    }
    resp_status(call->reply, "OK");
}
