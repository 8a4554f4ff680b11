// What waits for an answer: rescales, each by its id; statuses, which have no id and so go one after the other.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/rescale_core.h"

static void list_init(struct rescale_items *list)
{
    list->first = NULL;
    list->tail = &list->first;
}

static void list_add(struct rescale_items *list, struct rescale_item *item)
{
    item->next = NULL;
    *list->tail = item;
    list->tail = &item->next;
}

// Takes out the item that *link points to.
static struct rescale_item *list_take(struct rescale_items *list, struct rescale_item **link)
{
    struct rescale_item *item = *link;
    *link = item->next;
    if (list->tail == &item->next)
        list->tail = link;
    return item;
}

void rescale_items_init(struct rescale_core *core)
{
    list_init(&core->rescales);
    list_init(&core->statuses);
}

// ---- sending

// The deadline runs from when the program asked, also while there was no connection. A request that names none has the server's own, and when
// it is asked again what is left of that.
static void send_rescale(struct rescale_core *core, struct rescale_item *item, uint64_t now_ms)
{
    struct message m = item->message;
    uint64_t spent = now_ms > item->asked_ms ? now_ms - item->asked_ms : 0;
    if (item->sent_before && m.deadline_ms == 0)
        m.deadline_ms = RESCALE_DEADLINE_MS;
    if (m.deadline_ms != 0)
        m.deadline_ms = m.deadline_ms > spent ? m.deadline_ms - spent : 1;
    if (!core->effects.send(core->effects.arg, &m))
        rescale_core_fail(core, "the server does not read what it is sent");
    item->sent = item->sent_before = true;
    item->sent_ms = now_ms;
}

static void send_status(struct rescale_core *core, uint64_t now_ms)
{
    struct rescale_item *item = core->statuses.first;
    if (item == NULL || item->sent)
        return;
    if (!core->effects.send(core->effects.arg, &item->message))
        rescale_core_fail(core, "the server does not read what it is sent");
    item->sent = true;
    item->sent_ms = now_ms;
}

void rescale_items_send(struct rescale_core *core, uint64_t now_ms)
{
    for (struct rescale_item *item = core->rescales.first; item != NULL; item = item->next)
        if (!item->sent)
            send_rescale(core, item, now_ms);
    send_status(core, now_ms);
}

void rescale_items_ask(struct rescale_core *core, struct rescale_item *item, uint64_t now_ms)
{
    bool rescale = item->message.type == MESSAGE_RESCALE;
    list_add(rescale ? &core->rescales : &core->statuses, item);
    if (rescale)
        (void)atomic_fetch_add(&core->requests, 1);
    if (core->phase == RESCALE_OPEN)
        rescale_items_send(core, now_ms);
}

void rescale_items_unsent(struct rescale_core *core)
{
    for (struct rescale_item *item = core->rescales.first; item != NULL; item = item->next)
        item->sent = false;
    for (struct rescale_item **link = &core->statuses.first; *link != NULL;) {
        (*link)->sent = false;
        if ((*link)->abandoned)
            free(list_take(&core->statuses, link));
        else
            link = &(*link)->next;
    }
}

// ---- answers

static void end_rescale(struct rescale_core *core, struct rescale_item **link,
                        const struct response *response)
{
    struct rescale_item *item = list_take(&core->rescales, link);
    core->effects.ended(core->effects.arg, item->slot);
    item->done(item->arg, response);
    free(item);
}

static struct rescale_item **find_sent(struct rescale_core *core, const char *id)
{
    struct rescale_item **link = &core->rescales.first;
    while (*link != NULL && (!(*link)->sent || strcmp((*link)->message.id, id) != 0))
        link = &(*link)->next;
    return link;
}

// A response that nobody waits for changes nothing: what it grants may be long out of date.
void rescale_items_response(struct rescale_core *core, const struct message *m)
{
    struct rescale_item **link = find_sent(core, m->id), *item = *link;
    if (item == NULL) {
        (void)atomic_fetch_add(&core->unexpected, 1);
        return;
    }
    struct response response = {.state = m->state,
                                .final = m->final,
                                .granted_bytes = m->granted_bytes,
                                .granularity = m->granularity,
                                .retry_ms = m->retry_ms};
    memcpy(response.id, m->id, sizeof response.id);
    memcpy(response.detail, m->detail, sizeof response.detail);
    (void)atomic_fetch_add(&core->responses, 1);
    item->granted_known = true;
    item->granted_bytes = m->granted_bytes;
    item->granularity = m->granularity;
    if (core->vnf[0] != '\0') { // an operator's are others' memory
        core->granted_bytes = m->granted_bytes;
        core->granularity = m->granularity;
    }
    if (m->final)
        end_rescale(core, link, &response);
    else
        item->done(item->arg, &response);
}

static void end_status(struct rescale_core *core, struct rescale_item **link, struct message *answer,
                       const char *why)
{
    struct rescale_item *item = list_take(&core->statuses, link);
    if (!item->abandoned)
        item->status(item->arg, answer, why);
    else if (answer != NULL)
        message_release(answer);
    free(item);
}

void rescale_items_status(struct rescale_core *core, struct message *status, uint64_t now_ms)
{
    struct rescale_item *first = core->statuses.first;
    if (first == NULL || !first->sent) {
        (void)atomic_fetch_add(&core->unexpected, 1);
        return;
    }
    struct message answer = *status;
    status->vnfs = NULL;
    status->vnf_count = 0;
    end_status(core, &core->statuses.first, &answer, NULL);
    send_status(core, now_ms);
}

// Of all that we send only a status can be meant: a rescale gets its response.
void rescale_items_unexpected(struct rescale_core *core, const char *detail, uint64_t now_ms)
{
    struct rescale_item *first = core->statuses.first;
    if (first == NULL || !first->sent) {
        (void)atomic_fetch_add(&core->unexpected, 1);
        return;
    }
    end_status(core, &core->statuses.first, NULL, detail[0] != '\0' ? detail : "refused");
    send_status(core, now_ms);
}

// ---- ending without an answer

static void end_by_error(struct rescale_core *core, struct rescale_item **link, const char *why)
{
    const struct rescale_item *item = *link;
    bool vnf = core->vnf[0] != '\0';
    struct response response = {.state = STATE_ERROR, .final = true};
    memcpy(response.id, item->message.id, sizeof response.id);
    // What is true now, as far as it is known: a VNF's by anything that has come since, another's by this request's own responses.
    response.granted_bytes = vnf ? core->granted_bytes : item->granted_known ? item->granted_bytes : 0;
    response.granularity = vnf ? core->granularity : item->granted_known ? item->granularity : 1;
    (void)snprintf(response.detail, sizeof response.detail, "%.*s", MESSAGE_TEXT_MAX, why);
    end_rescale(core, link, &response);
}

// "no answer by the deadline", and when there is no connection why not.
static void late(const struct rescale_core *core, const char *what, message_text text)
{
    if (core->phase == RESCALE_OPEN || core->why[0] == '\0')
        (void)snprintf(text, sizeof(message_text), "%s", what);
    else
        (void)snprintf(text, sizeof(message_text), "%s (not connected: %.200s)", what, core->why);
}

static uint64_t expire_rescales(struct rescale_core *core, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;
    message_text text;
    for (struct rescale_item **link = &core->rescales.first; *link != NULL;) {
        if ((*link)->gives_up_ms <= now_ms) {
            late(core, "no answer by the deadline", text);
            end_by_error(core, link, text);
            continue;
        }
        if ((*link)->gives_up_ms < next)
            next = (*link)->gives_up_ms;
        link = &(*link)->next;
    }
    return next;
}

// One that has been sent stays in front until its answer comes, or the server has had the time of a lease: then the connection is no good.
static uint64_t expire_statuses(struct rescale_core *core, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;
    message_text text;
    for (struct rescale_item **link = &core->statuses.first; *link != NULL;) {
        struct rescale_item *item = *link;
        if (!item->abandoned && item->gives_up_ms <= now_ms) {
            late(core, "no answer in time", text);
            item->status(item->arg, NULL, text);
            item->abandoned = true;
            if (!item->sent) {
                free(list_take(&core->statuses, link));
                continue;
            }
        }
        uint64_t due = item->abandoned ? item->sent_ms + core->lease_ms : item->gives_up_ms;
        if (item->abandoned && due <= now_ms)
            rescale_core_fail(core, "no answer to status");
        else if (due < next)
            next = due;
        link = &item->next;
    }
    return next;
}

uint64_t rescale_items_expire(struct rescale_core *core, uint64_t now_ms)
{
    uint64_t rescales = expire_rescales(core, now_ms), statuses = expire_statuses(core, now_ms);
    return rescales < statuses ? rescales : statuses;
}

void rescale_items_end(struct rescale_core *core, const char *why)
{
    while (core->rescales.first != NULL)
        end_by_error(core, &core->rescales.first, why);
    while (core->statuses.first != NULL)
        end_status(core, &core->statuses.first, NULL, why);
}
