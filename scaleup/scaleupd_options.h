// The options of scaleupd: one table for the command line, the configuration file, --help and the sample file.
#ifndef MEC_SCALEUP_SCALEUPD_OPTIONS_H
#define MEC_SCALEUP_SCALEUPD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/report.h"
#include "scaleup/scaleupd_access.h"
#include "scaleup/scaleupd_vnfs.h"

enum { SOCKET_AUTO, SOCKET_OWNER, SOCKET_ALL }; // --socket-mode

struct scaleupd_options {
    char *config;
    struct config_list listen, vnf, operators;
    uint64_t pool, granularity;
    char *book, *cgroup_root;
    unsigned backend; // index into the choices: scaleupd_backend()
    unsigned socket_mode;
    char *cert, *key, *client_ca, *admin;
    uint64_t lease, deadline, hello_timeout; // us
    uint64_t max_connections;
    char *log_file;
    unsigned log_level;
    bool check, print_config;
};

extern const struct config_spec scaleupd_spec;

const struct backend_class *scaleupd_backend(const struct scaleupd_options *options);

// What the lines of the options say, read.
struct scaleupd_settings {
    struct vnf_lines vnfs;
    struct access_list operators; // without --operator: the daemon's own user
    char *book;                   // --book, else beside the first Unix socket
    bool tls;                     // some listener is no Unix socket
    bool open_socket; // Unix sockets may be connected to by all; who may do what is decided afterwards
};

// Checks what one field's bounds cannot say, too. False and *e set ("--vnf: ks1: ..."), nothing to release.
bool scaleupd_settings_read(const struct scaleupd_options *options, struct scaleupd_settings *settings,
                            struct error *e);
void scaleupd_settings_release(struct scaleupd_settings *settings);

#endif
