// What two key servers tell each other while one takes the other's place (handover.h): lines of JSON, each ended by a
// newline, at most HANDOVER_LINE_MAX bytes. Pure.
//
//   new ─▶ old   {"handover":1,"say":"ask","version":"0.1.0"}
//   old ─▶ new   {"handover":1,"say":"offer","version":"0.1.0","watchdog_us":0,
//                 "master_key":"0123456789abcdef","sockets":[{"name":"ski","addr":"*:8443"}]}
//                with the sockets themselves, in that order (SCM_RIGHTS)
//   new ─▶ old   {"handover":1,"say":"go"}
//   old ─▶ new   {"handover":1,"say":"done"}
//
// Members that are not known are passed over; another number behind "handover" is another protocol.
#ifndef MEC_KEYSERVER_HANDOVER_MESSAGE_H
#define MEC_KEYSERVER_HANDOVER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/inherit.h"
#include "common/report.h"

#define HANDOVER_LINE_MAX    8192u
#define HANDOVER_SOCKETS     8u
#define HANDOVER_ADDRESS_MAX 256u
#define HANDOVER_VERSION_MAX 64u
#define HANDOVER_KEY_ID      17u // of a master key (seal_key_id())

enum handover_say { HANDOVER_ASK, HANDOVER_OFFER, HANDOVER_GO, HANDOVER_DONE };

struct handover_socket {
    char name[INHERIT_NAME];
    char addr[HANDOVER_ADDRESS_MAX]; // the option that it was opened by, as it was written
    bool keeps_file;                 // its file is the service manager's
};

struct handover_message {
    enum handover_say say;
    char version[HANDOVER_VERSION_MAX]; // of the program; "" with go and done
    uint64_t watchdog_us;               // that the old one lives by; 0: none
    char master_key[HANDOVER_KEY_ID];   // that the old one seals under; "": none, or it does not say
    struct handover_socket sockets[HANDOVER_SOCKETS];
    unsigned count;
};

// Reads a line without its newline. False and *e: it is none of these.
bool handover_parse(const char *line, size_t len, struct handover_message *message, struct error *e);
// Writes the line with its newline, and returns its length; 0: it does not fit, or no memory.
size_t handover_format(const struct handover_message *message, char line[static HANDOVER_LINE_MAX]);

#endif
