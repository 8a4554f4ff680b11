// What ties the parts of scaleupd together: messages of sessions go into the broker, what it decides goes to sessions, back-ends and the book, what back-ends say goes back
// into it. One thread: that of the event loop.
#ifndef MEC_SCALEUP_SCALEUPD_DAEMON_H
#define MEC_SCALEUP_SCALEUPD_DAEMON_H

#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"
#include "scaleup/book.h"
#include "scaleup/broker.h"
#include "scaleup/scaleupd_options.h"
#include "scaleup/scaleupd_server.h"

struct scaleupd;

// A VNF that has a back-end. Its index is the broker's.
struct scaleupd_vnf {
    struct scaleupd *daemon;
    size_t index;
    struct vnf_line line;
    struct backend *backend;
    uint64_t hellos_ms; // those said so far have their share of time up to then: scaleupd_too_often()
};

struct scaleupd {
    struct event_base *base;
    const struct scaleupd_options *options;
    struct scaleupd_settings settings; // its VNF lines have moved to vnfs
    bool any_name;                     // no --vnf: the daemon's own user may use any
    struct scaleupd_vnf **vnfs;        // in the broker's order
    size_t vnf_count;
    struct book_file *book;
    struct broker *broker;
    struct scaleupd_server *server;
    SSL_CTX *tls; // NULL: Unix sockets only
    struct event *tick, *measure;
    uint64_t started_ns;
};

// Takes the settings over, also when it fails. Certificates, back-ends, book (unless only_check) and broker; nothing is listened to yet. False and *e set:
// scaleupd_stop() is still due.
bool scaleupd_load(struct scaleupd *daemon, struct event_base *base, const struct scaleupd_options *options,
                   struct scaleupd_settings *settings, bool only_check, struct error *e);
// Listens, and asks the back-ends what is true.
bool scaleupd_start(struct scaleupd *daemon, struct error *e);
// Takes over certificates, operators and VNF lines of other options. A line that cannot be taken over is logged and its VNF stays as it is; false and *e set: nothing has been taken over.
bool scaleupd_reload(struct scaleupd *daemon, const struct scaleupd_options *fresh, struct error *e);
// What has been granted stays so, in the book and at the back-ends.
void scaleupd_stop(struct scaleupd *daemon);

// ---- parts of it (scaleupd_roster.c)

// Makes the VNF's back-end; with a broker, makes it known there. Takes the line over, also when it fails.
bool scaleupd_add_vnf(struct scaleupd *daemon, struct vnf_line *line, struct error *e);
struct scaleupd_vnf *scaleupd_find_vnf(const struct scaleupd *daemon, const char *name);
bool scaleupd_is_operator(void *arg, const struct access_peer *peer);
bool scaleupd_is_known(void *arg, const struct access_peer *peer);
// As server_events.too_often(): a VNF may say five hellos a second.
bool scaleupd_too_often(void *arg, const struct message *hello);
// As server_events.may(). Adds the VNF where any name is fine: the only message that does is hello.
bool scaleupd_may(void *arg, const struct access_peer *peer, const struct message *hello,
                  enum message_error_code *code, struct error *why);
void scaleupd_reload_vnfs(struct scaleupd *daemon, struct vnf_lines *lines);
void scaleupd_release_vnfs(struct scaleupd *daemon);

void scaleupd_on_report(void *arg, const struct backend_report *report); // arg: struct scaleupd_vnf
uint64_t scaleupd_now_ms(void);

#endif
