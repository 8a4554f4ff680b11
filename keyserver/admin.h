// The operators' port: plain HTTP, meant for loopback. On the main thread's loop, by libevent's evhttp.
//   GET /metrics   Prometheus text            GET /status   JSON for people and scripts
//   GET /healthz   200: the process lives     GET /readyz   200: it takes requests; 503: starting or draining
#ifndef MEC_KEYSERVER_ADMIN_H
#define MEC_KEYSERVER_ADMIN_H

#include "keyserver/server.h"

struct admin;

// Does nothing (and *admin is NULL) without --admin.
bool admin_start(struct server *server, struct admin **admin, struct error *e);
void admin_stop(struct admin **admin);

#endif
