// Tells the service manager that the key server lives (WATCHDOG=1), as long as all of its threads come round: the main
// thread, whose timer this is, I/O loops, crypto threads, the audit log's. One that is stuck for longer than the manager's
// WatchdogSec has the process replaced, and the log says which.
//
//   a look, eight times in the manager's time: all have answered ─▶ WATCHDOG=1, and all are asked anew
//                                              one has not       ─▶ nothing; thread_stuck in the log, once
//
// A thread answers between two pieces of work, so the time has to be longer than the longest: a slow read of the disk.
#ifndef MEC_KEYSERVER_WATCHDOG_H
#define MEC_KEYSERVER_WATCHDOG_H

#include <event2/event.h>

#include "keyserver/server.h"

struct watchdog;

// On the main thread's loop, for a server that has been started. True and *watchdog NULL: the manager asks for none
// (notify_watchdog_us()). False and *e: no memory.
bool watchdog_start(struct watchdog **watchdog, struct event_base *base, struct server *server,
                    struct error *e);
// Before the server is stopped. NULL inside is fine.
void watchdog_stop(struct watchdog **watchdog);

#endif
