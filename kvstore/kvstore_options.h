// The options of the daemon `kvstore`: one table for the command line, the configuration file, --help and the sample file.
#ifndef MEC_KVSTORE_KVSTORE_OPTIONS_H
#define MEC_KVSTORE_KVSTORE_OPTIONS_H

#include "common/config.h"
#include "common/report.h"
#include "scaleup/scaler_options.h"

struct kvstore_options {
    char *config;
    char *listen, *admin, *dir;
    struct scaler_settings elastic;        // --memory and what it follows
    unsigned fsync;                        // enum kv_fsync
    uint64_t segment_bytes;
    uint64_t fsync_interval, latency_goal; // us
    uint64_t loops, workers, max_clients;  // loops, workers 0: from the processors
    uint64_t output_limit;
    uint64_t idle_timeout, write_timeout, drain_timeout; // us
    char *log_file;
    unsigned log_level;
    bool check, print_config;
};

extern const struct config_spec kvstore_options_spec;

// What one field's bounds cannot say. False and *e set ("--listen: ...").
bool kvstore_options_check(const struct kvstore_options *options, struct error *e);

#endif
