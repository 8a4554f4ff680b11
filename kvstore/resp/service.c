#include "kvstore/resp/service.h"

#include "kvstore/resp/config.h"
#include "kvstore/resp/latency.h"
#include "kvstore/resp/slowlog.h"
#include "kvstore/resp/stats.h"

bool resp_service_init(struct resp_shared *shared)
{
    if (!resp_naps_init(&shared->naps))
        return false;
    shared->stats = resp_stats_create();
    shared->slowlog = resp_slowlog_create();
    shared->latency = resp_latency_create();
    shared->config = resp_config_create();
    if (shared->stats != NULL && shared->slowlog != NULL && shared->latency != NULL && shared->config != NULL)
        return true;
    resp_service_deinit(shared);
    return false;
}

void resp_service_deinit(struct resp_shared *shared)
{
    resp_config_destroy(&shared->config);
    resp_latency_destroy(&shared->latency);
    resp_slowlog_destroy(&shared->slowlog);
    resp_stats_destroy(&shared->stats);
    resp_naps_deinit(&shared->naps);
}
