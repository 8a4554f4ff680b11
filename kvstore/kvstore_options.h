// The options of the daemon `kvstore`: one table for the command line, the configuration file, --help and the sample file.
#ifndef MEC_KVSTORE_KVSTORE_OPTIONS_H
#define MEC_KVSTORE_KVSTORE_OPTIONS_H

#include "common/config.h"
#include "common/report.h"
#include "scaleup/scaler_options.h"

struct kvstore_options {
    char *config;
    char *listen, *admin, *dir;
    struct scaler_settings elastic; // --memory and what it follows
    unsigned fsync;                 // enum kv_fsync
    uint64_t segment_bytes;
    char *password_file;
    char *tls_listen, *tls_cert, *tls_key, *tls_ca;
    unsigned tls_auth_clients;                           // enum tls_clients
    unsigned cluster_enabled;                            // 0: no
    uint64_t fsync_interval, erase_within, latency_goal; // us
    uint64_t loops, workers, max_clients;                // loops, workers 0: from the processors
    uint64_t output_limit;
    uint64_t idle_timeout, write_timeout, drain_timeout; // us
    struct config_list redis_set;                        // "NAME VALUE"
    char *load;                                          // an RDB; NULL: none
    char *save_dir, *save_name;                          // save_dir NULL: dir
    char *primary;                                       // --replicaof; NULL: none
    char *primary_user, *primary_password_file;
    char *primary_cert, *primary_key, *primary_ca;
    uint64_t primary_timeout; // us
    bool replica_writable;
    char *log_file;
    unsigned log_level;
    bool check, print_config;
};

extern const struct config_spec kvstore_options_spec;

// What one field's bounds cannot say. False and *e set ("--listen: ...").
bool kvstore_options_check(const struct kvstore_options *options, struct error *e);
// Whether an address that other machines reach has nothing but the password.
bool kvstore_options_need_password(const struct kvstore_options *options);

#endif
