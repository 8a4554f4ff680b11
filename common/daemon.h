// What programs that run until a signal have in common: rows of their tables, how main() begins, options read
// anew for a reload, signals in the loop. For programs whose main thread runs a libevent loop; all of it is
// for that thread alone.
//
// main():  daemon_begin, daemon_options_read, process and log (common/secmem.h, common/log.h), modules up;
// serving: daemon_signals_create, the loop, daemon_signals_destroy; modules down.
#ifndef MEC_COMMON_DAEMON_H
#define MEC_COMMON_DAEMON_H

#include <event2/event.h>
#include <stdbool.h>

#include "common/config.h"
#include "common/log.h"
#include "common/report.h"

// Rows that stand in each daemon's table. at(field): offset of a field of the program's struct, which has
// `char *config, *log_file; unsigned log_level; bool check, print_config`. The texts are string literals:
// what --help says.
#define DAEMON_OPTION_CONFIG(at)                                                                             \
    {                                                                                                        \
        .name = "config", .type = CONFIG_FILE, .offset = at(config), .arg = "FILE",                          \
        .help = "Read options from an INI file; those on the command line win."                              \
    }
#define DAEMON_OPTION_ROWS(at, log_file_text, log_level_text, check_text)                                    \
    {.name = "log-file",                                                                                     \
     .type = CONFIG_STRING,                                                                                  \
     .offset = at(log_file),                                                                                 \
     .arg = "FILE",                                                                                          \
     .help = log_file_text},                                                                                 \
        {.name = "log-level",                                                                                \
         .type = CONFIG_ENUM,                                                                                \
         .offset = at(log_level),                                                                            \
         .choices = LOG_LEVEL_CHOICES,                                                                       \
         .preset = "info",                                                                                   \
         .help = log_level_text},                                                                            \
        {.name = "check", .type = CONFIG_FLAG, .action = true, .offset = at(check), .help = check_text},     \
    {                                                                                                        \
        .name = "print-config", .type = CONFIG_FLAG, .action = true, .offset = at(print_config),             \
        .help = "Print a sample configuration file that explains every option, and end."                     \
    }

// The first thing in main(): the name in messages (it must live on), and signals that must not end the
// process: SIGPIPE, and SIGHUP until the loop handles it, as a reload asked for during the start has nothing
// to do.
void daemon_begin(const char *program);

// As config_read() into a zeroed struct, and --print-config: wherever it stands it prints the sample to
// stdout (CONFIG_EXIT), and needs none of the options that serving requires.
enum config_result daemon_options_read(const struct config_spec *spec, int argc, char *const *argv,
                                       void *options);

// The same command line, and the file as it is now, read into a zeroed struct for a reload. True: the caller
// releases it with config_release(). False: they are wrong, the log says how (reload_failed), and nothing
// needs releasing.
bool daemon_options_reread(const struct config_spec *spec, int argc, char *const *argv, void *fresh);

// What the program does about signals; called by the loop.
struct daemon_calls {
    void (*reload)(void *arg);                   // SIGHUP; the log has been reopened
    void (*stop)(void *arg, const char *signal); // "SIGTERM" or "SIGINT"; comes as often as the signal does
    void *arg;
};

// Takes the signals over into the base's loop; NULL and *e set when it cannot. calls is copied.
struct daemon_signals *daemon_signals_create(struct event_base *base, const struct daemon_calls *calls,
                                             struct error *e);
// Gives them back: SIGHUP is ignored again, and the next SIGTERM or SIGINT ends the process at once. Before
// the base is freed. NULL inside is fine.
void daemon_signals_destroy(struct daemon_signals **signals);

#endif
