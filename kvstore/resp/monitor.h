// MONITOR: sessions that are shown every command as it was run, one line each:
//
//   +1700000000.123456 [0 127.0.0.1:40000] "set" "a" "1"
//
// Not shown: administrative commands, and passwords. A line has at most about RESP_MONITOR_LINE bytes: of longer commands the end is left out, and said so.
// The list's lock is a leaf; it is held while lines are handed to session->push.
#ifndef MEC_KVSTORE_RESP_MONITOR_H
#define MEC_KVSTORE_RESP_MONITOR_H

#include "kvstore/resp/command.h"

struct resp_monitors;

#define RESP_MONITOR_LINE (1024u * 1024)

struct resp_monitors *resp_monitors_create(void); // NULL: no memory
void resp_monitors_destroy(struct resp_monitors **monitors);

// The session's owner. False: no memory.
bool resp_monitor_start(struct resp_session *session);
void resp_monitor_stop(struct resp_session *session); // also before a session ends

// A command was run. Any thread; costs a load when nobody looks.
void resp_monitor_show(const struct resp_call *call);

#endif
