#include "keyserver/audit.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "keyserver/peer.h"

#define RING_BYTES (4u << 20)

struct audit {
    struct log_sink *sink;            // NULL: the program's log
    _Atomic uint64_t looked_ns, told; // losses: when they were last looked at, how many have been logged
};

static size_t drop_line(uint64_t count, char *buf, size_t len)
{
    char time[28];
    int n = snprintf(buf, len, "{\"time\":\"%s\",\"event\":\"dropped\",\"lines\":%llu}", log_timestamp(time),
                     (unsigned long long)count);
    return n > 0 ? (size_t)n : 0;
}

struct audit *audit_create(const char *path, struct error *e)
{
    struct audit *audit = calloc(1, sizeof *audit);
    if (audit == NULL) {
        error_set(e, "audit log: out of memory");
        return NULL;
    }
    if (path != NULL && (audit->sink = log_sink_create(path, RING_BYTES, drop_line, e)) == NULL) {
        free(audit);
        return NULL;
    }
    return audit;
}

void audit_destroy(struct audit **audit)
{
    if (*audit == NULL)
        return;
    log_sink_destroy(&(*audit)->sink);
    free(*audit);
    *audit = NULL;
}

void audit_reopen(struct audit *audit)
{
    if (audit->sink != NULL)
        log_sink_reopen(audit->sink);
}

uint64_t audit_dropped(const struct audit *audit)
{
    return audit->sink != NULL ? log_sink_dropped(audit->sink) : log_dropped();
}

// Lines lost since the last look (ring full, file not writable), told to the operator at most once a second.
static void note_losses(struct audit *audit)
{
    uint64_t now = clock_ns(), last = atomic_load_explicit(&audit->looked_ns, memory_order_relaxed);
    if (now - last < 1000000000u || !atomic_compare_exchange_strong(&audit->looked_ns, &last, now))
        return;
    uint64_t dropped = log_sink_dropped(audit->sink);
    uint64_t told = atomic_exchange(&audit->told, dropped);
    if (dropped > told)
        log_error("audit_lost", "lines=%llu total=%llu", (unsigned long long)(dropped - told),
                  (unsigned long long)dropped);
}

static unsigned long long us(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
}

// What the access policy said; nothing without one.
static void format_policy(const struct keyop *op, char *buf, size_t len)
{
    size_t used = 0;
    buf[0] = '\0';
    if (op->denied != NULL)
        used = (size_t)snprintf(buf, len, ",\"denied\":\"%s\"", op->denied);
    if (op->policy_line != 0)
        (void)snprintf(buf + used, len - used, ",\"policy_line\":%u", op->policy_line);
}

// The members that only a parsed request has.
static int format_request(const struct keyop *op, char *buf, size_t len)
{
    const struct ski_request *r = &op->request;
    if (!op->parsed) {
        buf[0] = '\0';
        return 0;
    }
    return snprintf(
        buf, len,
        ",\"key\":\"%.8s\",\"key_type\":\"%s\",\"bits\":%u,\"method\":\"%s\",\"protocol\":\"%s\"%s%s%s",
        r->spki,
        op->key_type == KEYRECORD_RSA  ? "RSA"
        : op->key_type == KEYRECORD_EC ? "EC"
                                       : "",
        op->key_bits, ski_method_word(r->method), ski_protocol_word(r->protocol),
        r->method == SKI_METHOD_ECDHE ? ",\"hash\":\"" : "",
        r->method == SKI_METHOD_ECDHE ? ski_hash_word(r->hash) : "",
        r->method == SKI_METHOD_ECDHE ? "\"" : "");
}

void audit_write(struct audit *audit, const struct keyop *op)
{
    char time[28], members[256], policy[64], line[1024], edge[512];
    uint64_t taken = op->started_ns != 0 ? op->started_ns : op->finished_ns;

    (void)format_request(op, members, sizeof members);
    format_policy(op, policy, sizeof policy);
    int n = snprintf(line, sizeof line,
                     "{\"time\":\"%s\",\"edge\":%s,\"addr\":\"%s\",\"dialect\":\"%s\"%s,\"result\":\"%s\"%s,"
                     "\"wait_us\":%llu,\"work_us\":%llu}",
                     log_timestamp(time), log_quote(op->peer->name, edge, sizeof edge), op->peer->addr,
                     op->request.dialect == SKI_JAVA ? "java" : "draft", members, ski_status_word(op->status),
                     policy, us(op->received_ns, taken), us(taken, op->finished_ns));
    if (n < 0 || (size_t)n >= sizeof line)
        return;
    if (audit->sink != NULL) {
        (void)log_sink_write(audit->sink, line, (size_t)n);
        note_losses(audit);
    } else {
        log_info("audit", "%s", line);
    }
}
