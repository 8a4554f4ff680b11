// Lines of handover_message.h on a Unix socket, with descriptors beside them.
#ifndef MEC_KEYSERVER_HANDOVER_SOCKET_H
#define MEC_KEYSERVER_HANDOVER_SOCKET_H

#include "keyserver/handover_message.h"

// Sends a message whole, with message->count descriptors (fds; they stay the caller's). A socket that has nothing else to
// send takes it at once. False and *e: it did not.
bool handover_send(int fd, const struct handover_message *message, const int *fds, struct error *e);

// Waits for a line on a blocking socket and reads it. fds gets the descriptors that came with it, message->count of them,
// close-on-exec, the caller's; NULL: none are expected. False and *e; *ended: the connection has come to its end.
bool handover_receive(int fd, struct handover_message *message, int *fds, bool *ended, struct error *e);

#endif
