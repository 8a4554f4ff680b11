// A line of the rescale protocol: what parses is formatted to a line that parses to the same; what does not says why, in little printable text, and
// leaves nothing behind.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool good)
{
    if (!good)
        abort();
}

static void check_refusal(const struct message *m, const struct error *e)
{
    must(m->vnfs == NULL && e->text[0] != '\0' && strlen(e->text) <= MESSAGE_TEXT_MAX);
    for (const char *c = e->text; *c != '\0'; c++)
        must(*c >= ' ' && *c <= '~');
}

static bool same_vnf(const struct message_vnf *a, const struct message_vnf *b)
{
    return strcmp(a->vnf, b->vnf) == 0 && strcmp(a->backend, b->backend) == 0 &&
           a->connected == b->connected && a->granted_bytes == b->granted_bytes &&
           a->actual_bytes == b->actual_bytes && a->used_bytes == b->used_bytes &&
           a->min_bytes == b->min_bytes && a->max_bytes == b->max_bytes && a->priority == b->priority &&
           a->overdue == b->overdue && a->target_bytes == b->target_bytes &&
           strcmp(a->change, b->change) == 0 && strcmp(a->detail, b->detail) == 0;
}

static bool same_words(const struct message *a, const struct message *b)
{
    return a->type == b->type && a->role == b->role && a->state == b->state && a->code == b->code &&
           a->final == b->final && strcmp(a->id, b->id) == 0 && strcmp(a->vnf, b->vnf) == 0 &&
           strcmp(a->reclaim, b->reclaim) == 0 && strcmp(a->backend, b->backend) == 0 &&
           strcmp(a->reason, b->reason) == 0 && strcmp(a->detail, b->detail) == 0;
}

static bool same_numbers(const struct message *a, const struct message *b)
{
    return a->version == b->version && a->has_min == b->has_min && a->has_holding == b->has_holding &&
           a->has_priority == b->has_priority && a->target_bytes == b->target_bytes &&
           a->min_bytes == b->min_bytes && a->max_bytes == b->max_bytes &&
           a->granted_bytes == b->granted_bytes && a->holding_bytes == b->holding_bytes &&
           a->granularity == b->granularity && a->deadline_ms == b->deadline_ms &&
           a->retry_ms == b->retry_ms && a->lease_ms == b->lease_ms && a->priority == b->priority &&
           a->pool_bytes == b->pool_bytes && a->free_bytes == b->free_bytes &&
           a->available_bytes == b->available_bytes && a->vnf_count == b->vnf_count;
}

// Escapes may make the formatted line longer than the parsed one, and so too long: only then there is none.
static void check_round_trip(const struct message *m, size_t len)
{
    size_t out_len = 0;
    struct error e = {""};
    char *line = message_format(m, &out_len);
    if (line == NULL && len > MESSAGE_ANSWER_MAX / 8)
        return;
    must(line != NULL && out_len > 1 && out_len <= MESSAGE_ANSWER_MAX && strlen(line) == out_len);
    must(memchr(line, '\n', out_len) == line + out_len - 1);
    struct message back;
    must(message_parse(line, out_len - 1, &back, &e));
    must(same_words(m, &back) && same_numbers(m, &back));
    for (size_t i = 0; i < m->vnf_count; i++)
        must(same_vnf(&m->vnfs[i], &back.vnfs[i]));
    message_release(&back);
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct message m;
    struct error e = {""};
    char *line = malloc(len > 0 ? len : 1); // of its own size, so that a byte too far is seen
    if (line == NULL)
        return 0;
    memcpy(line, data, len);
    if (!message_parse(line, len, &m, &e)) {
        check_refusal(&m, &e);
    } else {
        if (m.type != MESSAGE_UNKNOWN)
            check_round_trip(&m, len);
        message_release(&m);
    }
    free(line);
    return 0;
}
