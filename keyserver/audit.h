// The audit log: one JSON line per key operation, whatever became of it (draft-cairns section 4.3, REQ1 and
// REQ7), chained by hashes so that a line changed, removed or moved shows (AUDIT.md). A key appears as the first
// eight characters of its fingerprint; inputs and outputs never. Whether a premaster was well-formed is not known
// here and so cannot be told. Never blocks the path: lines go through a bounded ring to a thread.
#ifndef MEC_KEYSERVER_AUDIT_H
#define MEC_KEYSERVER_AUDIT_H

#include <jansson.h>
#include <openssl/evp.h>
#include <sys/types.h>

#include "common/metrics.h"
#include "common/report.h"
#include "keyserver/keyop.h"

enum audit_mode {
    AUDIT_LOSSY, // a line that cannot be kept is counted as dropped
    AUDIT_STRICT // a result leaves after its line has been written, or not at all
};

struct audit_settings {
    const char *path; // NULL: lines go to the program's log as event=audit, without a chain
    enum audit_mode mode;
    const char *key_file;  // Ed25519, signs heads; NULL: heads are not signed
    uint64_t rotate_bytes; // 0: only when asked by audit_reopen()
    uint64_t head_lines;   // a head at least every so many lines,
    uint64_t head_us;      // and so long after a line
    uint64_t
        alarm_us; // how long ciphertexts are remembered, and over what error shares are taken; 0: no alarms
    size_t ring_lines;                  // 0: 4096
    void (*complete)(struct keyop *op); // gives back operations that audit_write() kept; any thread
    // The system call, for tests; NULL: write(2).
    ssize_t (*write)(int fd, const void *bytes, size_t len);
};

struct audit;

// Whether the settings can be used: key and folder. For --check; writes nothing.
bool audit_check(const struct audit_settings *settings, struct error *e);

// settings are copied, the strings are not. NULL and *e.
struct audit *audit_create(const struct audit_settings *settings, struct error *e);
// All operations have come back before (audit_flush()).
void audit_destroy(struct audit **audit);
// Closes the file with a head and goes on in the one that is at the path then. At once, on the writer's thread.
void audit_reopen(struct audit *audit);
// Waits until all lines taken so far are written or lost, and their operations given back. NULL is fine.
void audit_flush(struct audit *audit);
// For the watchdog: asks the writer's thread for a sign of life, and whether it still owes one. None without a path. Never
// waits; to be called again while it owes one, as the thread may not have been woken.
void audit_ask(struct audit *audit);
bool audit_stuck(const struct audit *audit);
// Lines lost since the start.
uint64_t audit_dropped(const struct audit *audit);

// Writes the line of a finished operation. True: it may be answered. False: strict, and it comes back by
// settings.complete() when its line is written; then it is passed to this function once more. An operation that cannot
// be audited as it has to be has the status of a fault of ours and no output. Any thread.
bool audit_write(struct audit *audit, struct keyop *op);

// Declares ks_audit_...; false without memory.
bool audit_metrics(struct audit *audit, struct metrics *metrics);
// For /status; NULL without memory.
json_t *audit_status(const struct audit *audit);

#endif
