// The store's memory as the load and the platform want it: the options of that for the scaler, and the store as it sees one.
//
// Everything else that the process holds (decoded keys, connections, buffers) is measured from its resident size: the store gets what is left.
#ifndef MEC_KEYSERVER_ELASTIC_H
#define MEC_KEYSERVER_ELASTIC_H

#include "keyserver/options.h"
#include "kvstore/kv.h"
#include "scaleup/scaler.h"

// The policy that the options ask for. *fixed_bytes: the store's size when they ask for none (no orchestrator, no goal), else 0. False and *e set: they cannot be right
// ("--hit-goal: found ..."). Either output may be NULL.
bool elastic_policy(const struct options *options, struct policy_config *policy, uint64_t *fixed_bytes,
                    struct error *e);

// What to open the store with: --memory, or less where the process may not have so much.
uint64_t elastic_first_limit(const struct options *options);

// Starts to follow load and limits; the store's limit is right when it returns. The store is borrowed until scaler_stop(). NULL and *e set: the options, limits that cannot
// be read.
struct scaler *elastic_start(const struct options *options, struct kv_store *store, struct error *e);

// The store for the scaler, `store` as its argument. For elastic_start() and tests.
struct scaler_store elastic_store(struct kv_store *store);

#endif
