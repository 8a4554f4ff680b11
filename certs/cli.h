// What the subcommands have in common: reading options, opening what they name, ending.
#ifndef MEC_CERTS_CLI_H
#define MEC_CERTS_CLI_H

#include <stdbool.h>

#include "certs/store.h"
#include "common/config.h"
#include "common/seal.h"

#define CLI_COUNT(table) (sizeof(table) / sizeof(table)[0])

// The store's folder, in every subcommand that has one. All offsets are into the subcommand's own struct.
#define CLI_STORE(owner)                                                                                     \
    {                                                                                                        \
        .name = "store", .type = CONFIG_STRING, .offset = offsetof(owner, store), .arg = "DIR",              \
        .required = true,                                                                                    \
        .help = "The folder of the key store. When a key server has it open, its control socket is used."    \
    }
// Two rows; the struct has `char *master_key, *master_key_fd`.
#define CLI_MASTER(owner, ...)                                                                               \
    {.name = "master-key",                                                                                   \
     .type = CONFIG_STRING,                                                                                  \
     .offset = offsetof(owner, master_key),                                                                  \
     .arg = "FILE|credential:NAME",                                                                          \
     .help = __VA_ARGS__},                                                                                   \
    {                                                                                                        \
        .name = "master-key-passphrase-fd", .type = CONFIG_STRING, .offset = offsetof(owner, master_key_fd), \
        .arg = "N",                                                                                          \
        .help = "Open descriptor whose first line is the passphrase that protects the master key."           \
    }
// An enum keyrecord_encoding, as an unsigned.
#define CLI_ENCODING(owner, ...)                                                                             \
    {                                                                                                        \
        .name = "encoding", .type = CONFIG_ENUM, .offset = offsetof(owner, encoding),                        \
        .choices = "pkcs8|compact", __VA_ARGS__                                                              \
    }
#define CLI_JSON(owner, text)                                                                                \
    {                                                                                                        \
        .name = "json", .type = CONFIG_FLAG, .offset = offsetof(owner, json), .help = text                   \
    }

// config_read() as an exit status, or -1 to go on.
int cli_read(const struct config_spec *spec, int argc, char *const *argv, void *target,
             struct config_list *positional);

// These report what went wrong.
struct store *cli_open_store(const char *dir, bool create);
// source, passphrase_fd: as master_key_load(); source NULL: none, which is fine. False on an error.
bool cli_load_master(const char *source, const char *passphrase_fd, struct seal_key **master);
// Flushes standard output: false (reported) when not all of it could be written.
bool cli_finish_output(void);

#endif
