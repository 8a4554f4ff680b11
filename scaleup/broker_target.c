// What a VNF's numbers in the book are of: a group, a virtual machine. When the operator gives the VNF another one, what the old one was given says nothing of it.
//
// The commitment is kept (the old one may still have that much) and the new one is asked. Until it has answered the VNF is told of its minimum at most, as one that has just come.
// The book goes on naming the old one for as long as its numbers are those of the old one: a broker that dies meanwhile finds the same difference again.
#include <string.h>

#include "common/log.h"
#include "scaleup/broker_internal.h"

bool broker_knows_target(const struct broker *b, size_t i)
{
    const struct broker_vnf *config = &b->members[i].config;
    const struct book_vnf *entry = &b->book.vnfs[i];
    return strcmp(entry->backend, config->backend) == 0 && strcmp(entry->target, config->target) == 0;
}

void broker_note_target(struct broker *b, size_t i)
{
    const struct broker_vnf *config = &b->members[i].config;
    struct book_vnf *entry = &b->book.vnfs[i];
    memcpy(entry->backend, config->backend, sizeof entry->backend);
    memcpy(entry->target, config->target, sizeof entry->target);
}

static void warn(const struct broker *b, size_t i)
{
    const struct broker_vnf *config = &b->members[i].config;
    const struct book_vnf *entry = &b->book.vnfs[i];
    char was[600], is[600];
    broker_log(b, true, "backend_changed",
               "vnf=%s was=%s was_target=%s is=%s is_target=%s committed=%llu note=\"the new one is asked "
               "what it has; "
               "what the old one has is no more looked after\"",
               config->name, entry->backend, log_quote(entry->target, was, sizeof was), config->backend,
               log_quote(config->target, is, sizeof is), (unsigned long long)entry->committed_bytes);
}

void broker_compare_target(struct broker *b, size_t i)
{
    struct broker_member *m = &b->members[i];
    const struct book_vnf *entry = &b->book.vnfs[i];
    if (broker_knows_target(b, i))
        return;
    if (entry->backend[0] == '\0' ||
        entry->committed_bytes == 0) { // taken to be as configured; or of nothing
        broker_note_target(b, i);
        if (!b->dirty) // and next time it is known
            b->record_again_ms = b->now_ms;
        b->dirty = true;
        return;
    }
    warn(b, i);
    m->moved = true;
    m->had = entry->granted_bytes;
    m->actual = 0;
    m->known = false;
    m->safe = broker_least(m->had, m->min);
    m->high = broker_most(m->high, entry->committed_bytes);
    static const char detail[] = "another back-end than before: it has not said yet what it has";
    memcpy(m->detail, detail, sizeof detail);
}
