// Taking the place of a running key server: the side of the new one (handover.h). Before it has threads; each call waits.
#ifndef MEC_KEYSERVER_TAKEOVER_H
#define MEC_KEYSERVER_TAKEOVER_H

#include "keyserver/handover_message.h"

struct takeover;

// Asks the server at the Unix socket addr for its listening sockets. True and *takeover NULL: there is none. False and
// *e: there is one, and it does not hand over to us; it goes on as before.
bool takeover_ask(const char *addr, struct takeover **takeover, struct error *e);
const char *takeover_version(const struct takeover *takeover);
uint64_t takeover_watchdog_us(const struct takeover *takeover);
const char *takeover_master_key(const struct takeover *takeover); // its id; "": it has none, or does not say
// Puts the socket that it has open for the option text addr under this name into the set, if it offers one. False and *e.
bool takeover_socket(struct takeover *takeover, const char *name, const char *addr, struct inherited *set,
                     struct error *e);
// Everything is checked. Tells it to stop, and waits until the store is free: as long as it takes, which its
// --drain-timeout bounds. False and *e: it was not told.
bool takeover_go(struct takeover *takeover, struct error *e);
// Without takeover_go() before, it goes on as it was. NULL inside is fine.
void takeover_end(struct takeover **takeover);

#endif
