// The text of a line, but for its chain.
#include "keyserver/audit_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/log.h"
#include "keyserver/peer.h"
#include "keyserver/stats.h"

static unsigned long long us(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
}

static const char *key_type_word(enum keyrecord_type type)
{
    return type == KEYRECORD_RSA ? "RSA" : type == KEYRECORD_EC ? "EC" : "";
}

// The members that only a parsed request has.
static void format_request(const struct keyop *op, char *buf, size_t len)
{
    const struct ski_request *r = &op->request;
    bool hashed = r->method == SKI_METHOD_ECDHE;
    buf[0] = '\0';
    if (op->parsed)
        (void)snprintf(
            buf, len,
            ",\"key\":\"%.8s\",\"key_type\":\"%s\",\"bits\":%u,\"method\":\"%s\",\"protocol\":\"%s\""
            "%s%s%s",
            r->spki, key_type_word(op->key_type), op->key_bits, ski_method_word(r->method),
            ski_protocol_word(r->protocol), hashed ? ",\"hash\":\"" : "",
            hashed ? ski_hash_word(r->hash) : "", hashed ? "\"" : "");
}

// What the access policy said, nothing without one; what was too much.
static void format_policy(const struct keyop *op, char *buf, size_t len)
{
    int used = 0;
    buf[0] = '\0';
    if (op->denied != NULL)
        used = snprintf(buf, len, ",\"denied\":\"%s\"", op->denied);
    if (op->policy_line != 0)
        used += snprintf(buf + used, len - (size_t)used, ",\"policy_line\":%u", op->policy_line);
    if (op->busy != KEYOP_NOT_BUSY)
        (void)snprintf(buf + used, len - (size_t)used, ",\"busy\":\"%s\"", stats_busy_word(op->busy));
}

const char *audit_listener(const struct keyop *op)
{
    return op->peer->migration ? ",\"listener\":\"migration\"" : "";
}

size_t audit_format_operation(const struct keyop *op, char body[static AUDIT_BODY_MAX])
{
    char time[28], members[256], policy[96], edge[512];
    uint64_t taken = op->started_ns != 0 ? op->started_ns : op->finished_ns;

    format_request(op, members, sizeof members);
    format_policy(op, policy, sizeof policy);
    int n =
        snprintf(body, AUDIT_BODY_MAX,
                 "{\"time\":\"%s\",\"edge\":%s,\"addr\":\"%s\"%s,\"dialect\":\"%s\"%s,\"result\":\"%s\"%s,"
                 "\"wait_us\":%llu,\"work_us\":%llu",
                 log_timestamp(time), log_quote(op->peer->name, edge, sizeof edge), op->peer->addr,
                 audit_listener(op), op->request.dialect == SKI_JAVA ? "java" : "draft", members,
                 ski_status_word(op->status), policy, us(op->received_ns, taken), us(taken, op->finished_ns));
    return n > 0 && n < AUDIT_BODY_MAX ? (size_t)n : 0;
}

size_t audit_format_event(char body[static AUDIT_BODY_MAX], const char *event, const struct audit_torn *torn,
                          const char *members, ...)
{
    char time[28], hex[2 * AUDIT_HASH_LEN + 1], lost[128] = "", more[700];
    uint8_t hash[AUDIT_HASH_LEN];
    va_list args;

    if (torn != NULL && torn->bytes > 0) {
        if (!audit_torn_hash(torn, hash))
            return 0;
        audit_hex(hash, sizeof hash, hex);
        (void)snprintf(lost, sizeof lost, ",\"torn_bytes\":%" PRIu64 ",\"torn_sha256\":\"%s\"", torn->bytes,
                       hex);
    }
    va_start(args, members);
    int more_len = vsnprintf(more, sizeof more, members, args);
    va_end(args);
    int n = snprintf(body, AUDIT_BODY_MAX, "{\"time\":\"%s\",\"event\":\"%s\"%s,%s", log_timestamp(time),
                     event, lost, more);
    return more_len >= 0 && more_len < (int)sizeof more && n > 0 && n < AUDIT_BODY_MAX ? (size_t)n : 0;
}
