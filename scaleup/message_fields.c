#include "scaleup/message_fields.h"

#include <string.h>

#define AT(member) .offset = offsetof(struct message, member), .has = FIELD_NO_FLAG
#define AT_WITH(member, flag)                                                                                \
    .offset = offsetof(struct message, member), .has = offsetof(struct message, flag)
#define NAME(text, member, needed)                                                                           \
    {                                                                                                        \
        .name = text, .kind = FIELD_NAME, .required = needed, AT(member)                                     \
    }
#define NUMBER(text, member, needed)                                                                         \
    {                                                                                                        \
        .name = text, .kind = FIELD_NUMBER, .required = needed, AT(member)                                   \
    }
#define TEXT(text, member)                                                                                   \
    {                                                                                                        \
        .name = text, .kind = FIELD_TEXT, AT(member)                                                         \
    }
#define COUNT(list) (sizeof(list) / sizeof *(list))
#define KIND(text, value, list)                                                                              \
    {                                                                                                        \
        .name = text, .type = value, .fields = list, .count = COUNT(list)                                    \
    }
#define EMPTY_KIND(text, value)                                                                              \
    {                                                                                                        \
        .name = text, .type = value                                                                          \
    }

static const struct message_field hello[] = {
    NUMBER("version", version, true),
    {.name = "role", .kind = FIELD_ROLE, .required = true, AT(role)},
    NAME("vnf", vnf, false),
    {.name = "holding_bytes", .kind = FIELD_NUMBER, AT_WITH(holding_bytes, has_holding)},
};

static const struct message_field rescale[] = {
    NAME("id", id, true),
    NAME("vnf", vnf, false),
    NUMBER("target_bytes", target_bytes, true),
    {.name = "min_bytes", .kind = FIELD_NUMBER, AT_WITH(min_bytes, has_min)},
    NUMBER("deadline_ms", deadline_ms, false),
    {.name = "priority", .kind = FIELD_NUMBER, AT_WITH(priority, has_priority), .preset = 5, .max = 9},
    NAME("reclaim", reclaim, false),
    TEXT("reason", reason),
};

static const struct message_field reclaiming[] = {
    NAME("id", id, true),
    {.name = "state", .kind = FIELD_STATE, .required = true, AT(state)},
    NUMBER("target_bytes", target_bytes, false),
};

static const struct message_field status_ask[] = {NAME("vnf", vnf, false)};

static const struct message_field welcome[] = {
    NUMBER("version", version, true),
    NAME("vnf", vnf, false),
    NUMBER("granted_bytes", granted_bytes, false),
    NUMBER("granularity", granularity, true),
    NUMBER("min_bytes", min_bytes, false),
    NUMBER("max_bytes", max_bytes, false),
    NUMBER("lease_ms", lease_ms, true),
    NAME("backend", backend, false),
};

static const struct message_field response[] = {
    NAME("id", id, true),
    {.name = "state", .kind = FIELD_STATE, .required = true, AT(state)},
    {.name = "final", .kind = FIELD_FLAG, .required = true, AT(final)},
    NUMBER("granted_bytes", granted_bytes, true),
    NUMBER("granularity", granularity, true),
    NUMBER("retry_ms", retry_ms, false),
    TEXT("detail", detail),
};

static const struct message_field reclaim[] = {
    NAME("id", id, true),
    NUMBER("target_bytes", target_bytes, true),
    NUMBER("deadline_ms", deadline_ms, false),
    {.name = "priority", .kind = FIELD_NUMBER, AT_WITH(priority, has_priority), .preset = 5, .max = 9},
    TEXT("reason", reason),
};

static const struct message_field grant[] = {
    NUMBER("granted_bytes", granted_bytes, true),
    NUMBER("granularity", granularity, true),
    TEXT("reason", reason),
};

static const struct message_field offer[] = {NUMBER("available_bytes", available_bytes, true)};

static const struct message_field status[] = {
    NUMBER("pool_bytes", pool_bytes, true),
    NUMBER("free_bytes", free_bytes, true),
    NUMBER("granularity", granularity, true),
    {.name = "vnfs", .kind = FIELD_VNFS, .required = true, AT(vnfs)},
};

static const struct message_field error[] = {
    {.name = "code", .kind = FIELD_CODE, .required = true, AT(code)},
    TEXT("detail", detail),
};

// The order of enum message_type.
const struct message_kind message_kinds[] = {
    KIND("hello", MESSAGE_HELLO, hello),
    KIND("rescale", MESSAGE_RESCALE, rescale),
    KIND("reclaiming", MESSAGE_RECLAIMING, reclaiming),
    EMPTY_KIND("ping", MESSAGE_PING),
    KIND("status", MESSAGE_STATUS_ASK, status_ask),
    KIND("welcome", MESSAGE_WELCOME, welcome),
    KIND("response", MESSAGE_RESPONSE, response),
    KIND("reclaim", MESSAGE_RECLAIM, reclaim),
    KIND("grant", MESSAGE_GRANT, grant),
    KIND("offer", MESSAGE_OFFER, offer),
    EMPTY_KIND("pong", MESSAGE_PONG),
    KIND("status", MESSAGE_STATUS, status),
    KIND("error", MESSAGE_ERROR, error),
};
const size_t message_kind_count = COUNT(message_kinds);

#undef AT
#define AT(member) .offset = offsetof(struct message_vnf, member), .has = FIELD_NO_FLAG

const struct message_field message_vnf_fields[] = {
    NAME("vnf", vnf, true),
    NAME("backend", backend, true),
    {.name = "connected", .kind = FIELD_FLAG, .required = true, AT(connected)},
    NUMBER("granted_bytes", granted_bytes, true),
    NUMBER("actual_bytes", actual_bytes, true),
    NUMBER("used_bytes", used_bytes, true),
    NUMBER("min_bytes", min_bytes, true),
    NUMBER("max_bytes", max_bytes, true),
    NUMBER("priority", priority, true),
    NUMBER("overdue", overdue, true),
    {.name = "change", .kind = FIELD_CHANGE, .required = true, AT(change)},
    NUMBER("target_bytes", target_bytes, true),
    TEXT("detail", detail),
};
const size_t message_vnf_field_count = COUNT(message_vnf_fields);

// ---- words

static const char *const states[] = {"accepted",   "progress", "done",  "partial", "deferred",
                                     "infeasible", "denied",   "error", "refused"};
static const char *const codes[] = {"malformed", "version", "denied", "unknown_vnf",
                                    "replaced",  "timeout", "busy",   "unexpected"};

static int by_name(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

int message_state_by_name(const char *name)
{
    return by_name(states, COUNT(states), name);
}

int message_code_by_name(const char *name)
{
    return by_name(codes, COUNT(codes), name);
}

const char *message_state_name(enum message_state state)
{
    return (size_t)state < COUNT(states) ? states[state] : "?";
}

bool message_state_is_final(enum message_state state)
{
    return state != STATE_ACCEPTED && state != STATE_PROGRESS;
}

const char *message_error_code_name(enum message_error_code code)
{
    return (size_t)code < COUNT(codes) ? codes[code] : "?";
}

bool message_text_is_clean(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        if (*c < ' ' || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f))
            return false;
    return true;
}
