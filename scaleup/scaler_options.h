// The options of a program whose memory follows load and limits: rows for its table (common/config.h), and what they become. A program embeds a struct
// scaler_settings in its options and puts SCALER_OPTION_ROWS into its table.
#ifndef MEC_SCALEUP_SCALER_OPTIONS_H
#define MEC_SCALEUP_SCALER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/report.h"
#include "scaleup/limits.h"
#include "scaleup/scaler.h"

struct scaler_settings {
    uint64_t memory;
    uint64_t memory_min, memory_max, memory_reserve;
    char *scaleup, *vnf, *scaleup_cert, *scaleup_key, *scaleup_ca;
    char *hit_goal, *memory_price, *miss_price; // decimals: scaler_options_policy() reads them
    uint64_t lookup_goal;                       // us
    uint64_t device_reads;
    uint64_t return_after; // us
};

// at(field): offset of a field of the program's struct scaler_settings. cert, key, ca: what the help says of their defaults (string literals).
#define SCALER_OPTION_ROWS(at, cert, key, ca)                                                                \
    {.name = "memory",                                                                                       \
     .type = CONFIG_SIZE,                                                                                    \
     .offset = at(memory),                                                                                   \
     .arg = "SIZE",                                                                                          \
     .preset = "256mb",                                                                                      \
     .help = "Memory for the store: values, index and buffers. Values beyond it are read from disk. With "   \
             "--scaleup or a goal it is the size to begin with. Limits of cgroups and of the machine are "   \
             "obeyed whatever it says."},                                                                    \
        {.name = "scaleup",                                                                                  \
         .type = CONFIG_STRING,                                                                              \
         .offset = at(scaleup),                                                                              \
         .arg = "unix:PATH|HOST:PORT",                                                                       \
         .help = "The scale-up controller (scaleupd) that memory is asked from and given back to."},         \
        {.name = "vnf",                                                                                      \
         .type = CONFIG_STRING,                                                                              \
         .offset = at(vnf),                                                                                  \
         .arg = "NAME",                                                                                      \
         .help = "The name by which scaleupd knows this server."},                                           \
        {.name = "scaleup-cert",                                                                             \
         .type = CONFIG_STRING,                                                                              \
         .offset = at(scaleup_cert),                                                                         \
         .arg = "PEM",                                                                                       \
         .help = "Certificate to show to scaleupd at HOST:PORT. " cert},                                     \
        {.name = "scaleup-key",                                                                              \
         .type = CONFIG_STRING,                                                                              \
         .offset = at(scaleup_key),                                                                          \
         .arg = "PEM",                                                                                       \
         .help = "The private key of that certificate. " key},                                               \
        {.name = "scaleup-ca",                                                                               \
         .type = CONFIG_STRING,                                                                              \
         .offset = at(scaleup_ca),                                                                           \
         .arg = "PEM",                                                                                       \
         .help = "Certification authorities of scaleupd's certificate. " ca},                                \
        {.name = "memory-min",                                                                               \
         .type = CONFIG_SIZE,                                                                                \
         .offset = at(memory_min),                                                                           \
         .arg = "SIZE",                                                                                      \
         .help =                                                                                             \
             "Of the process in all: less is never aimed at. Needs --scaleup or a goal, as the next ones."}, \
        {.name = "memory-max",                                                                               \
         .type = CONFIG_SIZE,                                                                                \
         .offset = at(memory_max),                                                                           \
         .arg = "SIZE",                                                                                      \
         .help = "Of the process in all: more is never asked for. Default: no bound but the limits."},       \
        {.name = "hit-goal",                                                                                 \
         .type = CONFIG_STRING,                                                                              \
         .offset = at(hit_goal),                                                                             \
         .arg = "PERCENT",                                                                                   \
         .help = "Goal: the share of lookups that memory shall answer. The least memory for it is used. "    \
                 "95 when --scaleup is given without any goal."},                                            \
        {.name = "lookup-goal",                                                                              \
         .type = CONFIG_DURATION,                                                                            \
         .offset = at(lookup_goal),                                                                          \
         .arg = "TIME",                                                                                      \
         .max = 60000000,                                                                                    \
         .help = "Goal: the mean time of a lookup in the store, from memory and disk together."},            \
        {.name = "device-reads",                                                                             \
         .type = CONFIG_UINT,                                                                                \
         .offset = at(device_reads),                                                                         \
         .arg = "N",                                                                                         \
         .max = 1000000000,                                                                                  \
         .help =                                                                                             \
             "Goal: reads a second that the store's device serves well. Memory is asked for so that there "  \
             "are no more, and before the load is there."},                                                  \
        {.name = "return-after",                                                                             \
         .type = CONFIG_DURATION,                                                                            \
         .offset = at(return_after),                                                                         \
         .arg = "TIME",                                                                                      \
         .preset = "1m",                                                                                     \
         .min = 100000,                                                                                      \
         .max = 86400000000,                                                                                 \
         .help = "How long less memory must have been enough before some is given back."},                   \
        {.name = "memory-price",                                                                             \
         .type = CONFIG_STRING,                                                                              \
         .offset = at(memory_price),                                                                         \
         .arg = "N",                                                                                         \
         .help =                                                                                             \
             "What a GiB costs for an hour, in any money. With --miss-price memory is used only while it "   \
             "saves more than it costs."},                                                                   \
        {.name = "miss-price",                                                                               \
         .type = CONFIG_STRING,                                                                              \
         .offset = at(miss_price),                                                                           \
         .arg = "N",                                                                                         \
         .help = "What a million lookups that have to read the disk cost, in the same money."},              \
    {                                                                                                        \
        .name = "memory-reserve", .type = CONFIG_SIZE, .offset = at(memory_reserve), .arg = "SIZE",          \
        .help =                                                                                              \
            "Left of the machine's memory to the kernel and others where no cgroup sets a limit. Default: "  \
            "the more of 64mb and 5 %."                                                                      \
    }

// Whether scaleupd is at HOST:PORT, so that certificates are needed.
bool scaler_options_need_tls(const struct scaler_settings *settings);

// The policy that the options ask for. *fixed_bytes: the store's size when they ask for none (no orchestrator, no goal), else 0. False and *e set: they cannot be right
// ("--hit-goal: found ..."). Either output may be NULL.
bool scaler_options_policy(const struct scaler_settings *settings, struct policy_config *policy,
                           uint64_t *fixed_bytes, struct error *e);

// The same of options read anew while a scaler works by `running`: --scaleup and --vnf stay as they are, for a session is not moved by a reload.
bool scaler_options_reload(const struct scaler_settings *running, const struct scaler_settings *fresh,
                           struct policy_config *policy, uint64_t *fixed_bytes, struct error *e);

// What to open the store with: --memory, or less where the process may not have so much.
uint64_t scaler_options_first_limit(const struct scaler_settings *settings);

// What a process of which this is known may give a store that is to be opened: as the scaler will, but at least 1 MiB. For scaler_options_first_limit() and tests.
uint64_t scaler_options_first_room(const struct limits_reading *now);

#endif
