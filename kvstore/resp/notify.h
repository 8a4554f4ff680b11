// Keyspace notifications: which events are published, as the setting notify-keyspace-events has it, and to which channels.
#ifndef MEC_KVSTORE_RESP_NOTIFY_H
#define MEC_KVSTORE_RESP_NOTIFY_H

#include "kvstore/resp/events.h"

#define RESP_NOTIFY_TEXT 24u // bytes of a setting, with its end

// "KEA" and the like as events of resp_shared.notify. False: a letter that means nothing (RESP_NOTIFY_LETTERS).
bool resp_notify_parse(const struct resp_arg *text, unsigned *events);
#define RESP_NOTIFY_LETTERS "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."

// As CONFIG GET shows it.
void resp_notify_format(unsigned events, char text[static RESP_NOTIFY_TEXT]);

#endif
