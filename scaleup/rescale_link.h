// The connection of a rescale session: a Unix socket or mutual TLS, lines in and out, on one event loop. Knows no messages.
// One thread, the loop's.
#ifndef MEC_SCALEUP_RESCALE_LINK_H
#define MEC_SCALEUP_RESCALE_LINK_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/report.h"
#include "common/tls.h"

struct rescale_link;

// Called by the loop, never from within a function of the link.
struct rescale_link_owner {
    void (*connected)(void *arg);
    // The connection or the attempt has ended by itself and is gone already.
    void (*disconnected)(void *arg, const char *why);
    void (*line)(void *arg, const char *line, size_t len); // without its LF; may call rescale_link_drop()
    void *arg;
};

// Copies all that it is given. tls: needed for HOST:PORT. NULL and *e set: not an address, TLS files that cannot be used, no memory.
struct rescale_link *rescale_link_create(struct event_base *base, const char *address,
                                         const struct tls_files *tls, const struct rescale_link_owner *owner,
                                         struct error *e);
void rescale_link_destroy(struct rescale_link **link);

// Starts to connect; there is no connection and no attempt. The TLS files are read again, so that a renewed certificate is shown; when they
// cannot be used any more, the old ones stay. False and *e set: it has failed at once.
bool rescale_link_connect(struct rescale_link *link, struct error *e);
// Nothing of the owner is called for this connection any more.
void rescale_link_drop(struct rescale_link *link);
// False: not connected, more than 256 KiB unsent, or no memory.
bool rescale_link_send(struct rescale_link *link, const char *line, size_t len);

#endif
