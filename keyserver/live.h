// The live page of the operators' port, and the JSON that it draws from; people and scripts may read that, too.
//   GET / /live.js /live.css /live.svg   the page, files of keyserver/live/ that are built into the program
//   GET /history.json   {"seconds":{...},"minutes":{...}}: ten minutes by seconds, a day by minutes (history.h)
//   GET /live.json      the last minute by seconds, edges (edges.h), what expires (expiry.h), and what the server is
#ifndef MEC_KEYSERVER_LIVE_H
#define MEC_KEYSERVER_LIVE_H

#include "common/admin.h"
#include "keyserver/server.h"

// Adds these pages. False: no memory.
bool live_pages(struct server *server, struct admin *admin);
// The edges as an array for /status, a new object for the caller.
json_t *live_edges(struct server *server);
// Declares the edges' metrics.
bool live_metrics(struct server *server);

#endif
