// The operators' port: plain HTTP, meant for loopback.
//   GET /metrics   Prometheus text            GET /status   JSON for people and scripts
//   GET /healthz   200: the process lives
#ifndef MEC_SCALEUP_SCALEUPD_ADMIN_H
#define MEC_SCALEUP_SCALEUPD_ADMIN_H

#include <stdbool.h>

#include "scaleup/scaleupd_daemon.h"

struct scaleupd_admin;

// Does nothing (and *admin is NULL) without --admin.
bool scaleupd_admin_start(struct scaleupd *daemon, struct scaleupd_admin **admin, struct error *e);
void scaleupd_admin_stop(struct scaleupd_admin **admin);

#endif
