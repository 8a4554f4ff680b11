// The options of the keyserver: one table for the command line, the configuration file, --help and the sample
// file.
#ifndef MEC_KEYSERVER_OPTIONS_H
#define MEC_KEYSERVER_OPTIONS_H

#include "common/config.h"
#include "common/report.h"
#include "scaleup/scaler_options.h"

struct options {
    char *config;
    char *listen, *admin, *control;
    char *redis_listen, *redis_password_file; // both or none
    char *store;
    char *master_key, *master_key_fd, *new_master_key, *new_master_key_fd;
    char *cert, *key, *client_ca;
    unsigned server_chain; // 0 full, 1 leaf
    uint64_t secret_memory, key_cache;
    struct scaler_settings elastic;      // --memory and what it follows
    unsigned fsync;                      // enum kv_fsync
    uint64_t io_threads, crypto_threads; // 0: from the number of processors
    unsigned rsa_engine;                 // enum engine_wanted
    uint64_t rsa_fill_wait;              // us
    uint64_t queue_limit, pipeline;
    uint64_t max_connections, max_connections_per_address;
    uint64_t header_max, body_max;
    uint64_t handshake_timeout, request_timeout, idle_timeout, write_timeout, operation_timeout,
        drain_timeout; // us
    char *log_file, *audit_log;
    unsigned log_level;
    unsigned sandbox; // enum sandbox_mode
    char *user;
    bool check, print_config;
};

extern const struct config_spec options_spec;

// What one field's bounds cannot say: combinations, addresses. False and *e set ("--memory: ...").
bool options_check(const struct options *options, struct error *e);

#endif
