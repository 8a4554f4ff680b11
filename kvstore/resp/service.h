// What commands on the server as a whole need of it, made and freed with struct resp_shared: statistics, slow log, latency monitor, configuration, naps.
#ifndef MEC_KVSTORE_RESP_SERVICE_H
#define MEC_KVSTORE_RESP_SERVICE_H

#include "kvstore/resp/session.h"

bool resp_service_init(struct resp_shared *shared); // false: no memory; nothing is to be undone
void resp_service_deinit(struct resp_shared *shared);

#endif
