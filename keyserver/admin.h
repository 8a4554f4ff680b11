// The pages of the operators' port (common/admin.h):
//   GET /metrics   Prometheus text            GET /status   JSON for people and scripts
//   GET /          the live page, and its JSON (live.h)
//   GET /healthz   200: the process lives     GET /readyz   200: it takes requests; 503: starting or draining
#ifndef MEC_KEYSERVER_ADMIN_H
#define MEC_KEYSERVER_ADMIN_H

#include "common/admin.h"
#include "keyserver/server.h"

// Declares the gauges, and opens the port with --admin; without, *admin is NULL. admin_stop() ends it.
bool server_admin(struct server *server, struct admin **admin, struct error *e);

#endif
