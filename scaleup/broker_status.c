// What there is, and whether it can be.
#include <stdlib.h>
#include <string.h>

#include "scaleup/broker_internal.h"

static uint64_t committed_by_all(const struct broker *b)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < b->count; i++)
        sum += b->book.vnfs[i].committed_bytes;
    return sum;
}

static void fill_line(const struct broker *b, size_t i, struct message_vnf *line)
{
    const struct broker_member *m = &b->members[i];
    bool raise = m->request.active ? m->request.raise : m->change.target > broker_visible(b, i);
    bool busy = m->request.active || m->change.active;
    const char *change = !busy ? "none" : raise ? "raise" : "return";
    *line = (struct message_vnf){.connected = m->session != 0,
                                 .granted_bytes = broker_visible(b, i),
                                 .actual_bytes = m->actual,
                                 .used_bytes = m->used,
                                 .min_bytes = m->config.min_bytes,
                                 .max_bytes = m->config.max_bytes != 0 ? m->config.max_bytes : b->pool,
                                 .priority = m->config.priority,
                                 .overdue = m->overdue,
                                 .target_bytes = m->request.active  ? m->request.goal
                                                 : m->change.active ? m->change.target
                                                                    : broker_visible(b, i)};
    memcpy(line->vnf, m->config.name, sizeof line->vnf);
    memcpy(line->backend, m->config.backend, sizeof line->backend);
    memcpy(line->change, change, strlen(change) + 1);
    memcpy(line->detail, m->detail, sizeof line->detail);
}

bool broker_status(const struct broker *b, const char *vnf, struct message *status)
{
    bool all = vnf == NULL || vnf[0] == '\0';
    size_t only = all ? BROKER_NOBODY : broker_find(b, vnf);
    *status = (struct message){.type = MESSAGE_STATUS,
                               .pool_bytes = b->pool,
                               .free_bytes = broker_free(b),
                               .granularity = b->granularity};
    if (!all && only == BROKER_NOBODY)
        return false;
    status->vnfs = calloc(b->count + 1, sizeof *status->vnfs);
    if (status->vnfs == NULL)
        return false;
    for (size_t i = 0; i < b->count; i++)
        if (all || i == only)
            fill_line(b, i, &status->vnfs[status->vnf_count++]);
    return true;
}

void broker_send_status(const struct broker *b, uint64_t session, const char *vnf)
{
    struct message status;
    if (broker_status(b, vnf, &status))
        broker_send(b, session, &status);
    else
        broker_refuse(b, session, ERROR_UNEXPECTED, "status: there is no such VNF");
    message_release(&status);
}

void broker_get_stats(const struct broker *b, struct broker_stats *stats)
{
    *stats = b->stats;
    stats->pool_bytes = b->pool;
    stats->committed_bytes = committed_by_all(b);
    stats->free_bytes = broker_free(b);
}

static const char *check_one(const struct broker *b, size_t i)
{
    const struct broker_member *m = &b->members[i];
    const struct book_vnf *entry = &b->book.vnfs[i];
    if (entry->granted_bytes > entry->committed_bytes)
        return "more is granted than is committed";
    if (m->safe > m->high)
        return "safe is above high";
    if (m->change.active && m->change.target > entry->committed_bytes)
        return "a back-end has been told more than is committed";
    if (m->change.active && m->change.target < m->min)
        return "a back-end has been told less than the minimum";
    if (m->request.active && m->request.number == 0)
        return "a request without a number";
    if (!m->request.active && m->request.reserved != 0)
        return "memory is reserved for nobody";
    if (m->reclaim.active && m->reclaim.target < m->min)
        return "the minimum is reclaimed";
    return NULL;
}

const char *broker_check(const struct broker *b)
{
    if (committed_by_all(b) > b->pool + b->beyond)
        return "more is committed than the pool has";
    for (size_t i = 0; i < b->count; i++) {
        const char *wrong = check_one(b, i);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}
