// Reports on their way to whoever owns a back-end: of the change and of the truth the latest each, delivered in the order they were written. So what is under way stays bounded,
// and a report never comes from within backend_set(). No lock of its own.
#ifndef MEC_SCALEUP_BACKEND_MAILBOX_H
#define MEC_SCALEUP_BACKEND_MAILBOX_H

#include "scaleup/backend.h"

enum mailbox_kind { MAILBOX_CHANGE, MAILBOX_TRUTH, MAILBOX_KINDS };

struct mailbox_letter {
    bool full;
    uint64_t number;
    struct backend_report report; // without its detail: that is here
    struct error detail;
};

struct mailbox { // zero to begin with
    struct mailbox_letter letters[MAILBOX_KINDS];
    uint64_t written;
};

// Copies the report and its detail.
void mailbox_put(struct mailbox *box, enum mailbox_kind kind, const struct backend_report *report);
// Forgets what a change that has been replaced had to say.
void mailbox_drop(struct mailbox *box, enum mailbox_kind kind);
// The next one; false: none. report.detail points into *letter.
bool mailbox_take(struct mailbox *box, struct mailbox_letter *letter);

#endif
