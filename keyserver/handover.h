// Taking the place of a running key server without a failed request: the side of the one that runs. takeover.h is the
// other side, handover_message.h what they say.
//
//   the new one                                    the old one
//   reads and checks its files (as --check)        serves
//   ask ───────────────────────────────────────▶   serves; only its own user and root are listened to
//   takes what it needs of them, binds the rest ◀─ offer, with the listening sockets
//   go ────────────────────────────────────────▶   accepts no more: new connections wait in the kernel
//                                                  answers what is in flight, closes its connections
//                                                  writes its last audit line, closes the store
//   opens the store, serves                    ◀── done, or the end of the connection
//
// Until the old one closes its store it is the one that serves: whatever becomes of the new one before that, it accepts
// again and goes on. Behind that the new one is alone; the service manager starts another should it fail.
//
// All of it runs on the main thread.
#ifndef MEC_KEYSERVER_HANDOVER_H
#define MEC_KEYSERVER_HANDOVER_H

#include <event2/event.h>
#include <sys/types.h>

#include "keyserver/handover_message.h"

struct handover;

struct handover_calls {
    // Fills in the sockets of the offer, and their descriptors, which stay the callee's.
    void (*offer)(void *arg, struct handover_message *message, int fds[static HANDOVER_SOCKETS]);
    // A process takes over: drain. When that is done, and everything is closed: handover_done().
    void (*begin)(void *arg, pid_t successor);
    // It has gone away since begin(): go on serving.
    void (*abandoned)(void *arg);
    void *arg;
};

// Waits for a successor at the Unix socket addr ("unix:/path"), or at the listening socket fd if that is not -1, which
// becomes its own. calls is copied. NULL and *e set.
struct handover *handover_create(struct event_base *base, const char *addr, int fd,
                                 const struct handover_calls *calls, struct error *e);
// The listening socket, to be offered too.
int handover_socket(const struct handover *handover);
// Behind begin(): the store and the audit log are closed. Tells the successor. The loop has ended.
void handover_done(struct handover *handover);
// Removes the socket's file, unless a successor has it. NULL inside is fine.
void handover_destroy(struct handover **handover);

#endif
