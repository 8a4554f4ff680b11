// A kvstore whose memory is as the load and the platform want it: the store as the scaler (scaleup/scaler.h) sees one. Of the daemons `kvstore` and `keyserver`; the
// engine knows nothing of it.
//
// Everything else that the process holds (decoded keys, connections, buffers) is measured from its resident size: the store gets what is left.
#ifndef MEC_KVSTORE_KVSTORE_ELASTIC_H
#define MEC_KVSTORE_KVSTORE_ELASTIC_H

#include "kvstore/kv.h"
#include "scaleup/scaler.h"
#include "scaleup/scaler_options.h"

// Starts to follow load and limits; the store's limit is right when it returns. The store is borrowed until scaler_stop(). NULL and *e set: the options, limits that cannot
// be read.
struct scaler *kvstore_elastic_start(const struct scaler_settings *settings, struct kv_store *store,
                                     struct error *e);

// scaler_most_bytes() for resp_server_options.most_memory; `scaler`: struct scaler. Any thread.
uint64_t kvstore_elastic_most(void *scaler);

// The store for the scaler, `store` as its argument. For kvstore_elastic_start() and tests.
struct scaler_store kvstore_elastic_store(struct kv_store *store);

// What all connections of a RESP server may hold in buffers together: a quarter of what the process may use. For resp_server_options.buffer_limit.
uint64_t kvstore_elastic_buffers(void *scaler);

#endif
