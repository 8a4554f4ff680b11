// The passphrase of encrypted input or of a master key: the first line of a file, in secret memory. The file may be a pipe
// (/dev/fd/3), so that the passphrase need not lie on a disk; it never comes from the command line or the
// environment.
#ifndef MEC_COMMON_PASSPHRASE_H
#define MEC_COMMON_PASSPHRASE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/report.h"

#define PASSPHRASE_MAX 1023

struct passphrase {
    char *text; // NUL-terminated; NULL: none was given
    size_t len;
};

// Without its line end (LF or CRLF). An empty line is an empty passphrase. False with *e set when the file
// cannot be read, holds a NUL byte, or its line is longer than PASSPHRASE_MAX.
bool passphrase_load(const char *path, struct passphrase *passphrase, struct error *e);
// The same from a descriptor, which is read to the line's end or somewhat further and stays the caller's. name: for messages.
bool passphrase_read(int fd, const char *name, struct passphrase *passphrase, struct error *e);
void passphrase_wipe(struct passphrase *passphrase);

#endif
