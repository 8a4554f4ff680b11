// What a program asks for, checked and made into what waits for its answer.
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "scaleup/rescale_internal.h"

#define NAME_TEXT "expected 1 to 64 characters of A-Z a-z 0-9 . _ -"

static bool check(const char *vnf, const struct rescale_request *request, struct error *e)
{
    const uint64_t max = MESSAGE_NUMBER_MAX;
    if (request->id != NULL && !message_name_is_good(request->id))
        error_set(e, "id: %s", NAME_TEXT);
    else if (request->reclaim != NULL && !message_name_is_good(request->reclaim))
        error_set(e, "reclaim: %s", NAME_TEXT);
    else if (vnf != NULL && !message_name_is_good(vnf))
        error_set(e, "vnf: %s", NAME_TEXT);
    else if (request->priority > 10)
        error_set(e, "priority: found %u, expected 0 to 10", request->priority);
    else if (request->target_bytes > max || request->min_bytes > max || request->deadline_ms > max)
        error_set(e, "target, min or deadline above 2^53 - 1");
    else
        return true;
    return false;
}

static struct rescale_item *new_item(enum message_type type, const char *vnf, struct error *e)
{
    struct rescale_item *item = calloc(1, sizeof *item);
    if (item == NULL) {
        error_set(e, "no memory");
        return NULL;
    }
    item->message.type = type;
    (void)snprintf(item->message.vnf, sizeof item->message.vnf, "%s", vnf != NULL ? vnf : "");
    item->asked_ms = clock_ns() / 1000000;
    return item;
}

struct rescale_item *rescale_item_create(const char *vnf, const struct rescale_request *request,
                                         struct error *e)
{
    struct rescale_item *item = check(vnf, request, e) ? new_item(MESSAGE_RESCALE, vnf, e) : NULL;
    if (item == NULL)
        return NULL;
    struct message *m = &item->message;
    (void)snprintf(m->id, sizeof m->id, "%s", request->id != NULL ? request->id : "");
    (void)snprintf(m->reclaim, sizeof m->reclaim, "%s", request->reclaim != NULL ? request->reclaim : "");
    (void)snprintf(m->reason, sizeof m->reason, "%s", request->reason != NULL ? request->reason : "");
    m->target_bytes = request->target_bytes;
    m->has_min = request->min_bytes != 0;
    m->min_bytes = request->min_bytes;
    m->deadline_ms = request->deadline_ms;
    m->has_priority = request->priority != 0;
    m->priority = request->priority != 0 ? request->priority - 1 : 0;
    item->gives_up_ms =
        item->asked_ms + RESCALE_GRACE_MS + (m->deadline_ms != 0 ? m->deadline_ms : RESCALE_DEADLINE_MS);
    return item;
}

struct rescale_item *rescale_item_create_status(const char *vnf, unsigned timeout_ms, struct error *e)
{
    if (vnf != NULL && !message_name_is_good(vnf)) {
        error_set(e, "vnf: %s", NAME_TEXT);
        return NULL;
    }
    struct rescale_item *item = new_item(MESSAGE_STATUS_ASK, vnf, e);
    if (item != NULL)
        item->gives_up_ms = item->asked_ms + timeout_ms;
    return item;
}
