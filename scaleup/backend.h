// What makes a grant real: a cgroup's limit, a virtual machine's memory, or nothing (simulated). One object a VNF. All calls on the daemon's loop
// thread; none blocks. A back-end that has to wait for files acts on a thread of its own and reports on the loop.
#ifndef MEC_SCALEUP_BACKEND_H
#define MEC_SCALEUP_BACKEND_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/report.h"

struct backend;

enum backend_outcome {
    BACKEND_PROGRESS, // actual_bytes has moved; more will follow
    BACKEND_DONE,     // actual_bytes is the target
    BACKEND_PARTIAL,  // this is as far as it goes: actual_bytes
    BACKEND_REFUSED,  // not possible as things are; nothing has changed
    BACKEND_FAILED,   // it was tried and failed: detail; actual_bytes is what is true now
    BACKEND_CHANGED,  // actual_bytes is not what was last reported, and nobody asked for it (change_id 0)
};

struct backend_report {
    uint64_t change_id; // of backend_set()
    enum backend_outcome outcome;
    uint64_t actual_bytes; // what the VNF's limit or size is
    uint64_t used_bytes;   // what it uses, page cache that can be dropped not counted; 0: not known
    const char *detail;    // "" or a reason, valid during the call
    // Nothing could be read: actual_bytes and used_bytes say nothing, and what was reported before may still hold. What is certainly gone (a folder, a socket that
    // are not there) has 0 bytes and is not unknown.
    bool unknown;
    bool unlimited; // it has no limit: actual_bytes is what the machine has, which nobody has granted
};
// On the loop's thread, never from within the back-end's own functions. It may begin another change, or destroy the object.
typedef void (*backend_report_fn)(void *arg, const struct backend_report *report);

// A setting that says what the back-end acts on, and what it is when it is not there ("": nothing).
struct backend_identity {
    const char *key, *preset;
};

struct backend_class {
    const char *name;    // "cgroup"
    const char *options; // what its part of the configuration may say, for --help
    // What says which thing it is, of all settings; up to one whose key is NULL. NULL: one is as good as another.
    const struct backend_identity *identity;
    // settings: "KEY=VALUE KEY=VALUE" of the configuration's line. The object is made even when the thing behind it is not there yet (a VM that has not
    // been started): it reports when it is. NULL and *e set: settings that cannot be right.
    struct backend *(*create)(const char *settings, uint64_t granularity, struct event_base *base,
                              backend_report_fn report, void *arg, struct error *e);
    void (*destroy)(struct backend **backend); // drops what is under way; no report any more
    // Begins to make it so many bytes; replaces a change that is under way (which gets no more reports). A return never goes below what is in use plus the
    // back-end's margin: BACKEND_PARTIAL. Exactly one final report (all but PROGRESS) follows, unless it is silent (simulated) or the VM has hung: the broker has deadlines.
    void (*set)(struct backend *backend, uint64_t change_id, uint64_t bytes);
    // Asks for the truth: answered by a report of BACKEND_CHANGED, also when nothing has changed; BACKEND_FAILED with change_id 0 when the thing behind it is not there (BACKEND_CHANGED
    // follows when it comes). A group without a limit has the machine's memory.
    void (*measure)(struct backend *backend);
};

extern const struct backend_class backend_cgroup, backend_qmp, backend_simulated;

// A "KEY=VALUE ..." setting; false: not there. Values have no spaces. *e: a value that does not fit its type.
bool backend_setting(const char *settings, const char *key, char *value, size_t len);
// What a back-end with these settings acts on, to be compared with what one acted on before: "KEY=VALUE ..." of those settings only that differ from their presets, in
// printable ASCII (other bytes and % as %XX). False: it does not fit. Pure.
bool backend_target(const struct backend_class *backend, const char *settings, char *target, size_t len);
// False and *e set when a key is none of the NULL-terminated list.
bool backend_settings_known(const char *settings, const char *const *keys, struct error *e);

#endif
