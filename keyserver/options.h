// The options of the keyserver: one table for the command line, the configuration file, --help and the sample
// file.
#ifndef MEC_KEYSERVER_OPTIONS_H
#define MEC_KEYSERVER_OPTIONS_H

#include "common/config.h"
#include "common/report.h"
#include "keyserver/audit.h"
#include "keyserver/expiry.h"
#include "scaleup/scaler_options.h"

struct options {
    char *config;
    char *listen, *admin, *control, *upgrade;
    char *migration_listen;                   // NULL: no such listener
    char *redis_listen, *redis_password_file; // both or none
    char *store;
    char *master_key, *master_key_fd, *new_master_key, *new_master_key_fd;
    char *cert, *key, *client_ca;
    char *expiry_warning_days; // "30,7,1"; NULL: no warnings
    char *policy;              // NULL: every edge may use every key
    unsigned server_chain;     // 0 full, 1 leaf
    uint64_t secret_memory, key_cache;
    struct scaler_settings elastic;              // --memory and what it follows
    unsigned fsync;                              // enum kv_fsync
    uint64_t io_threads, crypto_threads;         // 0: from the number of processors
    unsigned rsa_engine;                         // enum engine_wanted
    uint64_t rsa_fill_wait;                      // us
    uint64_t queue_limit, queue_delay, pipeline; // queue_delay: us; 0: from what operations take
    uint64_t max_connections, max_connections_per_address, max_connections_per_edge,
        migration_max_connections;
    uint64_t max_in_flight_per_edge;
    uint64_t header_max, body_max;
    uint64_t handshake_timeout, request_timeout, idle_timeout, write_timeout, operation_timeout,
        drain_timeout, drain_grace; // us
    char *log_file, *audit_log, *audit_key;
    unsigned audit;                                                        // enum audit_mode
    uint64_t audit_rotate, audit_head_lines, audit_head_time, audit_alarm; // bytes, lines, us, us
    bool verify_audit, audit_open;
    char *audit_public, *expect_head;
    unsigned log_level;
    unsigned sandbox; // enum sandbox_mode
    char *user;
    bool check, print_config, explain, take_over;
};

extern const struct config_spec options_spec;
extern const struct config_spec options_explain_spec; // with --explain: takes further words

// What one field's bounds cannot say: combinations, addresses. False and *e set ("--memory: ...").
bool options_check(const struct options *options, struct error *e);

// keyserver --verify-audit FILE...: whether that is asked for, and all of it: returns the program's exit status.
bool options_want_verify(int argc, char *const *argv);
int options_verify(int argc, char *const *argv);

// The thresholds of --expiry-warning-days, which options_check() has found good.
struct expiry_days options_expiry_days(const struct options *options);

// How the audit log is to be kept; its strings are the options'.
struct audit_settings options_audit(const struct options *options);

#endif
