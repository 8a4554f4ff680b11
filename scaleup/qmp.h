// A client of QEMU's machine protocol on a libevent loop: greeting, capabilities, commands with answers, events. Connects by itself, and again when the connection ends (a VM that
// restarts), with a back-off. All on the loop's thread; nothing blocks.
//
// The program ignores SIGPIPE. What is not sound ends the connection: a line that is too long or does not parse, no greeting within the timeout, a command that is not answered within it.
#ifndef MEC_SCALEUP_QMP_H
#define MEC_SCALEUP_QMP_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/report.h"

#define QMP_OUTSTANDING 32

struct qmp;

struct qmp_handlers {
    // Ready for commands; or no longer, and why (also after each failed attempt to connect). All outstanding commands have been answered with an error before.
    void (*state)(void *arg, bool ready, const char *why);
    void (*event)(void *arg, const char *name, const json_t *data); // data may be NULL
    void *arg;
};

// value: what QEMU returned, valid during the call; NULL: error says why. token: as given to qmp_execute().
typedef void (*qmp_answer_fn)(void *arg, uint64_t token, const json_t *value, const char *error);

// address: "unix:/path" or "HOST:PORT" (resolved here, once). Begins to connect from the loop. NULL and *e set: an address that cannot be right, no memory.
struct qmp *qmp_create(struct event_base *base, const char *address, uint64_t timeout_ms,
                       const struct qmp_handlers *handlers, struct error *e);
// No handler or answer is called any more. May be called from within them. NULL is fine.
void qmp_destroy(struct qmp **qmp);

bool qmp_ready(const struct qmp *qmp);
// Nobody listens at its Unix socket, or there is none: QEMU does not run. False: it does, or nobody knows.
bool qmp_absent(const struct qmp *qmp);
// Sends a command. Steals the reference to arguments (NULL: none). False: not ready, too many outstanding, no memory; answer is not called then.
bool qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, qmp_answer_fn answer, void *arg,
                 uint64_t token);
// Ends the connection and begins again.
void qmp_reconnect(struct qmp *qmp, const char *why);

#endif
