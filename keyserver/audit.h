// The audit log: one JSON line per key operation, whatever became of it (draft-cairns section 4.3, REQ1 and
// REQ7). A key appears as the first eight characters of its fingerprint; inputs and outputs never. Whether a
// premaster was well-formed is not known here and so cannot be told. Never blocks the path
// (common/logsink.h).
#ifndef MEC_KEYSERVER_AUDIT_H
#define MEC_KEYSERVER_AUDIT_H

#include "common/logsink.h"
#include "keyserver/keyop.h"

struct audit;

// path NULL: lines go to the program's log as event=audit.
struct audit *audit_create(const char *path, struct error *e);
void audit_destroy(struct audit **audit);
void audit_reopen(struct audit *audit);
uint64_t audit_dropped(const struct audit *audit);

// Writes the line of a finished operation. Any thread.
void audit_write(struct audit *audit, const struct keyop *op);

#endif
