// What operators see of the daemon `kvstore`: metrics (every member of struct kv_stats, and the server's), and /status. Main thread only.
#ifndef MEC_KVSTORE_KVSTORE_PAGES_H
#define MEC_KVSTORE_KVSTORE_PAGES_H

#include "kvstore/kvstore_daemon.h"

struct kvstore_figures;

// Declares the metrics in daemon->metrics. NULL: no memory. They read through the object: destroy it after the last rendering.
struct kvstore_figures *kvstore_figures_create(struct kvstore_daemon *daemon);
void kvstore_figures_destroy(struct kvstore_figures **figures);

// Adds /metrics and /status to daemon->admin. False: no memory.
bool kvstore_pages_add(struct kvstore_daemon *daemon);

#endif
