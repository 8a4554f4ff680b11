// What the rescale session's thread has for the scaler's: of each kind of event the latest, and of each request the latest answer, in the order in which they came.
// So it never grows, however much the orchestrator says while the scaler is busy; what is lost was out of date. Not locked: the owner's lock.
#ifndef MEC_SCALEUP_SCALER_MAIL_H
#define MEC_SCALEUP_SCALER_MAIL_H

#include "scaleup/rescale.h"

enum { SCALER_MAIL_EVENTS = RESCALE_REFUSED + 1, SCALER_MAIL_ANSWERS = 4 };

struct scaler_mail {
    struct {
        uint64_t number; // in order of arrival; 0: empty
        struct rescale_event event;
    } events[SCALER_MAIL_EVENTS];
    struct {
        uint64_t number;
        struct response response;
    } answers[SCALER_MAIL_ANSWERS];
    uint64_t last;
};

void scaler_mail_event(struct scaler_mail *mail, const struct rescale_event *event);
void scaler_mail_answer(struct scaler_mail *mail, const struct response *response);

// Takes out the oldest: one of the two is filled in. 0: empty.
enum scaler_mail_kind { SCALER_MAIL_NONE, SCALER_MAIL_EVENT, SCALER_MAIL_ANSWER };
enum scaler_mail_kind scaler_mail_take(struct scaler_mail *mail, struct rescale_event *event,
                                       struct response *response);

#endif
