// The daemon's metrics: counters of broker and server, and a few gauges for each VNF. Loop thread only.
#ifndef MEC_SCALEUP_SCALEUPD_METRICS_H
#define MEC_SCALEUP_SCALEUPD_METRICS_H

#include <stdbool.h>
#include <stdio.h>

#include "common/metrics.h"
#include "scaleup/scaleupd_daemon.h"

struct scaleupd_numbers {
    struct broker_stats broker;
    struct scaleupd_server_stats server;
};

struct scaleupd_metrics {
    struct metrics *registry;
    struct scaleupd_numbers numbers; // as of the last rendering: the registry reads them here
};

// The object must stay where it is until the teardown. False: no memory.
bool scaleupd_metrics_setup(struct scaleupd_metrics *m);
void scaleupd_metrics_teardown(struct scaleupd_metrics *m);

// Prometheus text. False: no memory for the VNFs' part.
bool scaleupd_metrics_render(struct scaleupd_metrics *m, const struct scaleupd *daemon, FILE *out);

#endif
