#include "scaleup/backend_mailbox.h"

void mailbox_put(struct mailbox *box, enum mailbox_kind kind, const struct backend_report *report)
{
    struct mailbox_letter *letter = &box->letters[kind];
    *letter = (struct mailbox_letter){.full = true, .number = ++box->written, .report = *report};
    error_set(&letter->detail, "%s", report->detail);
}

void mailbox_drop(struct mailbox *box, enum mailbox_kind kind)
{
    box->letters[kind].full = false;
}

bool mailbox_take(struct mailbox *box, struct mailbox_letter *letter)
{
    struct mailbox_letter *next = NULL;
    for (int i = 0; i < MAILBOX_KINDS; i++)
        if (box->letters[i].full && (!next || box->letters[i].number < next->number))
            next = &box->letters[i];
    if (!next)
        return false;
    *letter = *next;
    letter->report.detail = letter->detail.text;
    next->full = false;
    return true;
}
