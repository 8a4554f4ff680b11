// Configuration files: any bytes are read or refused with one message, and everything that was taken is within the
// bounds of the table and released again.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct target {
    bool flag;
    char *config, *name;
    uint64_t count, size, time_us;
    unsigned choice;
    struct config_list list;
};

static const struct config_option options[] = {
    {.name = "config", .type = CONFIG_FILE, .offset = offsetof(struct target, config), .help = "File."},
    {.name = "name", .type = CONFIG_STRING, .offset = offsetof(struct target, name), .help = "Name."},
    {.name = "count",
     .type = CONFIG_UINT,
     .offset = offsetof(struct target, count),
     .max = 64,
     .help = "Count."},
    {.name = "size",
     .type = CONFIG_SIZE,
     .offset = offsetof(struct target, size),
     .min = 10,
     .preset = "1kb",
     .help = "Size."},
    {.name = "time",
     .type = CONFIG_DURATION,
     .offset = offsetof(struct target, time_us),
     .max = 1000000,
     .help = "Time."},
    {.name = "choice",
     .type = CONFIG_ENUM,
     .offset = offsetof(struct target, choice),
     .choices = "a|bc|d",
     .help = "Choice."},
    {.name = "list", .type = CONFIG_LIST, .offset = offsetof(struct target, list), .help = "List."},
    {.name = "flag", .type = CONFIG_FLAG, .offset = offsetof(struct target, flag), .help = "Flag."},
};

static const struct config_spec spec = {
    .program = "fuzz",
    .usage = "",
    .summary = "",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
};

// The path of a file in memory with these bytes; *fd is to be closed.
static int write_file(const uint8_t *data, size_t len, char *path, size_t path_len)
{
    int fd = memfd_create("config", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len)
        abort();
    (void)snprintf(path, path_len, "/proc/self/fd/%d", fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char path[64], *message = NULL;
    size_t message_len = 0;
    struct target target = {0};
    int fd = write_file(data, len, path, sizeof path);
    FILE *errors = open_memstream(&message, &message_len);
    if (errors == NULL)
        abort();

    char program[] = "fuzz", option[] = "--config";
    char *argv[] = {program, option, path, NULL};
    enum config_result result = config_read_to(&spec, 3, argv, &target, NULL, errors);
    (void)fclose(errors);

    if (result == CONFIG_OK) {
        if (message_len != 0 || target.count > 64 || target.size < 10 || target.time_us > 1000000 ||
            target.choice > 2)
            abort();
        config_release(&spec, &target, NULL);
    } else if (message_len == 0 || strchr(message, '\n') != message + message_len - 1) {
        abort();
    }
    free(message);
    (void)close(fd);
    return 0;
}
