// What CONFIG's parameters work on: the getters, checks and setters that config_table.c names.
#ifndef MEC_KVSTORE_RESP_CONFIG_LIVE_H
#define MEC_KVSTORE_RESP_CONFIG_LIVE_H

#include "kvstore/resp/config.h"

#define GETTER(name)                                                                                         \
    void resp_config_get_##name(struct resp_shared *shared, char text[static RESP_CONFIG_TEXT])
#define SETTER(name)                                                                                         \
    bool resp_config_set_##name(struct resp_shared *shared, const char *text, const char **why)
#define CHECK(name)                                                                                          \
    bool resp_config_check_##name(struct resp_shared *shared, const char *text, const char **why)

// config_live.c
GETTER(appendfsync);
GETTER(bind);
GETTER(cluster_enabled);
GETTER(databases);
GETTER(dir);
GETTER(latency_threshold);
GETTER(latency_tracking);
GETTER(loglevel);
GETTER(maxclients);
GETTER(maxmemory);
GETTER(maxmemory_clients);
GETTER(notify);
GETTER(port);
GETTER(proto_max_bulk);
GETTER(query_limit);
GETTER(requirepass);
GETTER(slower_than);
GETTER(slowlog_most);
GETTER(timeout);
GETTER(tracking_most);
GETTER(unixsocket);
SETTER(latency_threshold);
SETTER(latency_tracking);
SETTER(loglevel);
SETTER(maxclients);
SETTER(maxmemory);
SETTER(maxmemory_clients);
SETTER(notify);
SETTER(requirepass);
SETTER(slower_than);
SETTER(slowlog_most);
SETTER(timeout);
SETTER(tracking_most);
CHECK(maxclients);
CHECK(notify);

// config_lists.c: texts of several words
CHECK(output_limits);
CHECK(percentiles);
// The percentiles of INFO latencystats; how many, at most `most`.
size_t resp_config_percentiles(struct resp_shared *shared, double *percentiles, size_t most);

#endif
