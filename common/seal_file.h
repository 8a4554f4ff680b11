// What the files of master keys share among themselves. Nobody else includes this.
#ifndef MEC_COMMON_SEAL_FILE_H
#define MEC_COMMON_SEAL_FILE_H

#include <sys/stat.h>
#include <sys/types.h>

#include "common/seal.h"

#define SEAL_FILE_ROOM 288 // more than any form needs: that a file is too long must show

// Reads a regular file, room bytes at most. -1 and *e set: it cannot be read, is no regular file, or its mode has a bit of `refused`.
ssize_t seal_file_read(const char *path, mode_t refused, uint8_t *text, size_t room, struct error *e);
// The key in a file's text (hexadecimal or raw). NULL and *e set; no part of the text is in the message.
struct seal_key *seal_file_key(const char *path, const uint8_t *text, size_t len, struct error *e);
// Makes a file of mode 0600, which may not exist, and syncs it and its name. False, *e set, and there is none.
bool seal_file_write(const char *path, const uint8_t *text, size_t len, struct error *e);

#endif
