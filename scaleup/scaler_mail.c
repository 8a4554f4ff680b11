#include "scaleup/scaler_mail.h"

#include <string.h>

void scaler_mail_event(struct scaler_mail *mail, const struct rescale_event *event)
{
    if ((size_t)event->type >= SCALER_MAIL_EVENTS)
        return;
    mail->events[event->type].number = ++mail->last;
    mail->events[event->type].event = *event;
}

void scaler_mail_answer(struct scaler_mail *mail, const struct response *response)
{
    size_t at = 0;
    for (size_t i = 0; i < SCALER_MAIL_ANSWERS; i++) {
        if (mail->answers[i].number != 0 && strcmp(mail->answers[i].response.id, response->id) == 0) {
            at = i;
            break;
        }
        if (mail->answers[i].number < mail->answers[at].number)
            at = i; // an empty one, or the oldest: its request has been superseded long since
    }
    bool same = mail->answers[at].number != 0 && strcmp(mail->answers[at].response.id, response->id) == 0;
    if (same && mail->answers[at].response.final)
        return; // it has ended
    mail->answers[at].number = ++mail->last;
    mail->answers[at].response = *response;
}

enum scaler_mail_kind scaler_mail_take(struct scaler_mail *mail, struct rescale_event *event,
                                       struct response *response)
{
    uint64_t *oldest = NULL;
    enum scaler_mail_kind kind = SCALER_MAIL_NONE;
    for (size_t i = 0; i < SCALER_MAIL_EVENTS; i++) {
        if (mail->events[i].number == 0 || (oldest != NULL && mail->events[i].number > *oldest))
            continue;
        oldest = &mail->events[i].number;
        *event = mail->events[i].event;
        kind = SCALER_MAIL_EVENT;
    }
    for (size_t i = 0; i < SCALER_MAIL_ANSWERS; i++) {
        if (mail->answers[i].number == 0 || (oldest != NULL && mail->answers[i].number > *oldest))
            continue;
        oldest = &mail->answers[i].number;
        *response = mail->answers[i].response;
        kind = SCALER_MAIL_ANSWER;
    }
    if (oldest != NULL)
        *oldest = 0;
    return kind;
}
