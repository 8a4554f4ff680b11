// INFO: what its parts share. A section is a function that writes lines.
#ifndef MEC_KVSTORE_RESP_INFO_H
#define MEC_KVSTORE_RESP_INFO_H

#include <stdio.h>

#include "kvstore/resp/session.h"

#define RESP_RECORD_OVERHEAD 40u // bytes of a record in memory beside key and value

// Memory, read once so that what is shown together fits together.
struct resp_memory {
    struct kv_stats store;
    uint64_t used;              // by the store, and by connections
    uint64_t peak;              // of it
    uint64_t buffers;           // of connections
    uint64_t rss;               // of the process
    uint64_t dataset, overhead; // used: keys and values in memory, and the rest
    uint64_t allocated, active; // of malloc: handed out, taken from the system
    uint64_t system;            // the machine's
};
void resp_memory_read(struct resp_shared *shared, struct resp_memory *memory);

struct resp_info {
    FILE *out;
    struct resp_shared *shared;
    struct resp_memory memory;
};

void resp_info_uint(struct resp_info *info, const char *name, uint64_t value);
void resp_info_text(struct resp_info *info, const char *name, const char *value);
void resp_info_size(struct resp_info *info, const char *name, uint64_t bytes); // "1.63M"
void resp_info_ratio(struct resp_info *info, const char *name, double value);  // two digits

// info_server.c
void resp_info_server(struct resp_info *info);
void resp_info_clients(struct resp_info *info);
void resp_info_replication(struct resp_info *info);
void resp_info_cpu(struct resp_info *info);
void resp_info_cluster(struct resp_info *info);
void resp_info_modules(struct resp_info *info);
void resp_info_sealing(struct resp_info *info);
// info_store.c
void resp_info_memory(struct resp_info *info);
void resp_info_persistence(struct resp_info *info);
void resp_info_elastic(struct resp_info *info);
void resp_info_keyspace(struct resp_info *info);
// info_stats.c
void resp_info_stats(struct resp_info *info);
void resp_info_commandstats(struct resp_info *info);
void resp_info_errorstats(struct resp_info *info);
void resp_info_latencystats(struct resp_info *info);

#endif
