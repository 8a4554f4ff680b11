// Changes settings in an INI file (config.h), so that a program can keep what it was told while it ran. Comments, order and lines that mean something else stay; the new file
// takes the old one's place at once or not at all, with its mode and owner.
#ifndef MEC_COMMON_CONFIG_EDIT_H
#define MEC_COMMON_CONFIG_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/report.h"

struct config_setting {
    const char *name;  // of the option
    const char *value; // one line
    // Of an option that may come several times: only lines whose value begins with this word are meant. NULL: the option comes once.
    const char *word;
};

// Writes `name = value` in place of the first line that is meant (further ones go), or at the end. The file is that which `path` leads to, 1 MiB at most. It is on the device
// when it returns true. False, *e set: the file is as it was.
bool config_edit(const char *path, const struct config_setting *settings, size_t count, struct error *e);

#endif
