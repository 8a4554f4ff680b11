// A line of QEMU's machine protocol (QMP): JSON in, a struct out, and commands. Pure; any thread.
#ifndef MEC_SCALEUP_QMP_MESSAGE_H
#define MEC_SCALEUP_QMP_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"

#define QMP_LINE_MAX (1 << 20) // bytes of a line from QEMU; query-memory-devices with 256 DIMMs takes 64 KiB

enum qmp_kind {
    QMP_GREETING, // {"QMP": ...}
    QMP_RETURN,   // of a command
    QMP_ERROR,    // likewise
    QMP_EVENT,
};

struct qmp_message {
    enum qmp_kind kind;
    uint64_t id;    // RETURN, ERROR: of the command; 0: it has none
    char name[64];  // EVENT: which; ERROR: its class. Printable ASCII, cut
    char text[256]; // ERROR: its description. Printable ASCII, cut
    json_t *
        value; // RETURN: what came; EVENT: its data, NULL when it has none. Released by qmp_message_release()
};

// Parses a line (without its end of line). False: *e, and *message needs no release.
bool qmp_message_parse(const char *line, size_t len, struct qmp_message *message, struct error *e);
void qmp_message_release(struct qmp_message *message);

// A command's line with its LF, malloc'ed. Steals the reference to arguments (NULL: none), also on failure. NULL: out of memory.
char *qmp_command_format(const char *command, json_t *arguments, uint64_t id, size_t *len);

#endif
