// A daemon's port for its operators: a few pages over plain HTTP, meant for loopback, on the daemon's own loop by libevent's evhttp. GET and HEAD only.
// Each program says which pages it has; GET /healthz (200: the process lives) is there from the start. Loop's thread only.
#ifndef MEC_COMMON_ADMIN_H
#define MEC_COMMON_ADMIN_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/metrics.h"
#include "common/report.h"

enum { ADMIN_CONNECTIONS_MAX = 64 }; // at the same time; more wait

struct admin;

// Writes a page into out and returns its HTTP status (200, 503 ...; 500: the text is not used). Called once a request.
typedef int (*admin_text_fn)(void *arg, FILE *out);
// A new object for the page, which takes it over; NULL: no memory (answered with 500).
typedef json_t *(*admin_json_fn)(void *arg);

// Listens on addr ("127.0.0.1:9000", "unix:/path") and says so in the log, with a warning when it is not loopback. NULL and *e set when it cannot.
struct admin *admin_start(struct event_base *base, const char *addr, struct error *e);
// The same on a socket that listens already, and is the port's from then on, also on failure.
struct admin *admin_start_on(struct event_base *base, int fd, struct error *e);
int admin_socket(const struct admin *admin); // the port's still
// Ends the port and what is still being answered. NULL inside is fine.
void admin_stop(struct admin **admin);

// Adds a page, or replaces that of the same path. path stays the caller's and must outlive the port. False: no memory.
bool admin_text(struct admin *admin, const char *path, admin_text_fn page, void *arg);
bool admin_json(struct admin *admin, const char *path, admin_json_fn page, void *arg);
// A page of another type than plain text ("application/json"); type stays the caller's as path does.
bool admin_typed(struct admin *admin, const char *path, const char *type, admin_text_fn page, void *arg);
// A file that is part of the program: bytes as they are. Browsers take scripts, styles and pictures from this port alone, and none that stand inside
// a page (Content-Security-Policy), whatever a page shows.
struct admin_file {
    const char *path, *type;
    const unsigned char *bytes;
    size_t len;
};
bool admin_file(struct admin *admin, const struct admin_file *file); // which must outlive the port
// GET /metrics, for a program whose metrics are in one registry; it must outlive the port. Others make it with admin_text().
bool admin_metrics(struct admin *admin, const struct metrics *metrics);

#endif
