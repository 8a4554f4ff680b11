// A port for operators: plain HTTP, meant for loopback, by libevent's evhttp. The program sets a callback for each path; others get 404. On the loop's thread.
#ifndef MEC_COMMON_ADMINHTTP_H
#define MEC_COMMON_ADMINHTTP_H

#include <event2/event.h>
#include <event2/http.h>
#include <stddef.h>

#include "common/report.h"

// Listens and logs where; GET and HEAD only, small headers, no bodies, 10 s. Warns when the address is not loopback. The caller frees with
// evhttp_free(). NULL and *e set: an address that cannot be had, no memory.
struct evhttp *adminhttp_start(struct event_base *base, const char *address, struct error *e);

// Answers with a copy of the text, not to be cached.
void adminhttp_reply(struct evhttp_request *request, int code, const char *type, const char *text,
                     size_t len);

#endif
