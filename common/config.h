// Options of a program, declared once as a table: the command line, the INI file, --help and the sample
// configuration all come from it.
//
// A program owns a struct with one field per option and a table of `struct config_option` that says where
// each field lies. Precedence: the command line, then the file (--config FILE), then the default of the
// table. An option has the same name everywhere: --io-threads 2 on the command line is `io-threads = 2` in
// the file. A list given on the command line replaces the file's list.
//
// Every table implicitly has --help and --version; a table with a CONFIG_FILE entry has --config. An empty
// value (--admin= or `admin =`) takes a string or a list back to none, and so switches off what a default or
// the file switched on. A single-valued option given twice on the command line keeps the last value.
#ifndef MEC_COMMON_CONFIG_H
#define MEC_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum config_type {
    CONFIG_FLAG,     // bool; --name (or name = yes|no|true|false|on|off|1|0 in the file)
    CONFIG_STRING,   // char *
    CONFIG_UINT,     // uint64_t, checked against min and max
    CONFIG_SIZE,     // uint64_t bytes, checked against min and max
    CONFIG_DURATION, // uint64_t microseconds, checked against min and max
    CONFIG_ENUM,     // unsigned: the index into choices ("always|interval|never")
    CONFIG_LIST,     // struct config_list: may be given several times
    CONFIG_FILE,     // char *: the INI file itself; not allowed inside the file
};

#define CONFIG_SECOND 1000000ull // for the bounds of a CONFIG_DURATION

struct config_list {
    char **items;
    size_t count;
};

struct config_option {
    const char *name; // long option and INI key, without dashes in front
    enum config_type type;
    size_t offset;   // of the field in the program's struct
    const char *arg; // how help names the value: "ADDR:PORT"
    const char
        *preset; // default, as text in the form the user would write; NULL: none (NULL, 0, false, empty)
    uint64_t min, max;   // CONFIG_UINT, _SIZE, _DURATION; max 0 means no bound
    const char *choices; // CONFIG_ENUM
    const char *help;    // one sentence or more, for --help and the sample file
    bool required;       // must have a value from somewhere
    bool action;         // something to do once ("--check"), no setting: not in the sample file
};

struct config_spec {
    const char *program; // as in error messages
    const char *usage;   // "[OPTION]... PATH..."
    const char *summary; // one or two sentences
    const struct config_option *options;
    size_t option_count;
    bool positional; // arguments that are no options are allowed
};

enum config_result {
    CONFIG_OK,
    CONFIG_EXIT,  // --help or --version was printed to stdout: exit with status 0
    CONFIG_USAGE, // a message was printed to stderr as `program: what failed: why`: exit with status 2
};

// Fills *target (a zeroed struct) from defaults, file and command line. argv[0] is skipped. On CONFIG_OK the
// fields that are pointers belong to the target until config_release(); positional (may be NULL when
// spec->positional is false) gets the other arguments. On any other result nothing needs releasing. Unknown
// options and keys, values out of range, duplicates of single-valued options within the file and missing
// required options are CONFIG_USAGE, and the message names file and line where there is one. Not for use by
// several threads at once on the same target.
enum config_result config_read(const struct config_spec *spec, int argc, char *const *argv, void *target,
                               struct config_list *positional);

// The same with messages written to `errors` instead of stderr: for a reload, where they go to the log.
enum config_result config_read_to(const struct config_spec *spec, int argc, char *const *argv, void *target,
                                  struct config_list *positional, FILE *errors);

// Frees what config_read() put into the target (and positional, may be NULL) and zeroes those fields.
void config_release(const struct config_spec *spec, void *target, struct config_list *positional);

void config_print_help(const struct config_spec *spec, FILE *out);

// The sample configuration: every option commented out with its default and its help.
void config_print_sample(const struct config_spec *spec, FILE *out);

#endif
