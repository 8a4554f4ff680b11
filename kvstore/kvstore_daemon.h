// The daemon `kvstore` behind its main(): a store, the Redis protocol's server on it (resp/server.h), the operators' port. What the protocol can do is
// kvresp's; what memory is worth is the store's; this only puts them together. Main thread only.
#ifndef MEC_KVSTORE_KVSTORE_DAEMON_H
#define MEC_KVSTORE_KVSTORE_DAEMON_H

#include <event2/event.h>
#include <jansson.h>

#include "common/admin.h"
#include "common/metrics.h"
#include "kvstore/kv.h"
#include "kvstore/kvstore_elastic.h"
#include "kvstore/kvstore_options.h"
#include "kvstore/resp/server.h"

struct kvstore_daemon {
    const struct kvstore_options *options; // never changes while it runs
    struct kv_store *store;                // NULL after a --check of a store that is in use
    struct scaler *scaler;
    struct resp_server *server;
    struct admin *admin;
    struct metrics *metrics;
    struct kvstore_figures *figures; // kvstore_pages.h
    uint64_t started_ns;
};

// Opens the store; with --check reads the files that a start would read, too, and a store that another process has open is fine. False and *e set.
bool kvstore_daemon_load(struct kvstore_daemon *daemon, const struct kvstore_options *options,
                         struct error *e);
// Starts serving; base is the main thread's loop, for the operators' port.
bool kvstore_daemon_start(struct kvstore_daemon *daemon, struct event_base *base, struct error *e);
// What one connection may make the server hold: its replies (as asked for), a command, one argument; none above an eighth of `ceiling` bytes (but 1 MiB at least), so that
// a single one cannot fill what the process may use before the scaler has seen it.
void kvstore_daemon_bound(struct resp_server_options *options, uint64_t ceiling);
// Takes over memory and its goals, the password's file and the certificates of fresh options; on any fault all stays as it is, and the log says so.
void kvstore_daemon_reload(struct kvstore_daemon *daemon, const struct kvstore_options *fresh);
// Stops accepting, answers what is in flight (--drain-timeout at most), ends everything, started or only loaded. False and *e set when what was written
// last may not be on the device.
bool kvstore_daemon_stop(struct kvstore_daemon *daemon, struct error *e);

#endif
