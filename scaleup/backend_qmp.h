// What the parts of the QEMU back-end share: backend_qmp.c (connection, truth, reports) and one file for each way of giving a VM memory: backend_qmp_mem.c (virtio-mem) and
// backend_qmp_dimm.c (pc-dimm).
#ifndef MEC_SCALEUP_BACKEND_QMP_H
#define MEC_SCALEUP_BACKEND_QMP_H

#include "scaleup/backend_mailbox.h"
#include "scaleup/backend_settings.h"
#include "scaleup/qmp.h"

#define DIMM_MAX 256 // slots that QEMU can have

enum qmp_step { // of the change that is under way
    STEP_NONE,
    STEP_LOOKING,  // what is true is being asked for
    STEP_ASKING,   // a command has to be answered
    STEP_WAITING,  // for the guest
    STEP_SETTLING, // virtio-mem: the guest has stopped; the rest is being called off
};

struct qmp_dimm {
    bool there;
    bool refused; // by the guest, in this change
    uint64_t bytes;
};

// How memory is given. Called with a change under way and everything known; each ends with backend_qmp_end() sooner or later.
struct qmp_mode {
    const char *name;
    // Takes in the answer of query-memory-devices: sets device_bytes, other_bytes and what it needs itself. NULL or what is missing.
    const char *(*devices)(struct backend *b, const json_t *list);
    void (*begin)(struct backend *b);
    void (*poll)(struct backend *b);  // every poll interval while waiting
    void (*stall)(struct backend *b); // nothing has moved for the stall time
    void (*event)(struct backend *b, const char *name, const json_t *data);
};

struct backend {
    struct qmp *qmp;
    struct event *deliver, *poll, *stall;
    backend_report_fn report;
    void *arg;
    const struct qmp_mode *mode;
    struct mailbox box;
    uint64_t poll_ms, stall_ms, timeout_ms;
    char address[BACKEND_VALUE_MAX];
    // the truth
    bool known;
    bool told;            // it has been reported since the connection is there
    bool looking;         // its commands are under way
    bool measure_wanted;  // somebody wants to hear the result
    struct error offline; // why it is not known
    uint64_t told_bytes;
    uint64_t base_bytes;   // of the VM without devices
    uint64_t other_bytes;  // of memory devices that are not ours
    uint64_t device_bytes; // of ours
    // the change
    enum qmp_step step;
    uint64_t change_id, target_bytes;
    uint64_t turn; // of its latest command: answers to earlier ones are stale
    bool asked;    // it has not been answered yet
    void (*answer)(struct backend *b, const json_t *value, const char *error); // to that command
    bool moved;     // something has changed since it began
    char limit[96]; // why the target cannot be reached in full; "": it can
    // virtio-mem
    char device[64];
    uint64_t block_bytes, max_bytes, requested_bytes, wanted_bytes;
    // pc-dimm
    uint64_t dimm_bytes;
    char prefix[32];
    struct qmp_dimm dimms[DIMM_MAX];
    size_t current; // the one that is being added or removed
};

extern const struct qmp_mode qmp_mode_mem, qmp_mode_dimm;

uint64_t backend_qmp_actual(const struct backend *b);
// Sends a command of the change: the answer comes only when nothing has replaced it meanwhile. Steals arguments. Ends the change with FAILED when it cannot be sent.
void backend_qmp_ask(struct backend *b, const char *command, json_t *arguments,
                     void (*answer)(struct backend *b, const json_t *value, const char *error));
// The final report of the change. detail: "" or why.
void backend_qmp_end(struct backend *b, enum backend_outcome outcome, const char *detail);
void backend_qmp_progress(struct backend *b);
// device_bytes has changed without a change under way.
void backend_qmp_changed(struct backend *b, const char *detail);
// From now on poll() comes until the change ends, and stall() when backend_qmp_wait() is not called again for so long.
void backend_qmp_wait(struct backend *b);
// A member that is a number not below zero, else 0.
uint64_t backend_qmp_number(const json_t *object, const char *key);

#endif
