// Between the API's files: rescale.c (the session and its thread), rescale_request.c (what is asked), rescale_wait.c (the blocking forms).
#ifndef MEC_SCALEUP_RESCALE_INTERNAL_H
#define MEC_SCALEUP_RESCALE_INTERNAL_H

#include "scaleup/rescale.h"
#include "scaleup/rescale_core.h"

// The item of a request (one without an id gets it when it is submitted); NULL and *e set: it cannot be one. vnf: an operator's; NULL: the session's own.
struct rescale_item *rescale_item_create(const char *vnf, const struct rescale_request *request,
                                         struct error *e);
struct rescale_item *rescale_item_create_status(const char *vnf, unsigned timeout_ms, struct error *e);
// Gives the item to the session's thread, which calls done or status for it, however it ends. False and *e set: not accepted, and the item is freed.
bool rescale_submit(struct rescale_session *session, struct rescale_item *item, struct error *e);

bool rescale_is_operator(const struct rescale_session *session);
// Whether the caller is the session's own thread, which must not wait for itself.
bool rescale_is_own_thread(const struct rescale_session *session);

#endif
