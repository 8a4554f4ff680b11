// Files that come in and go out: folders walked in sorted order, input read into secret memory, output
// written so that a crash leaves the old file or the new one, and a private key never lies under a wider mode
// than 0600, not even for a moment. One thread.
#ifndef MEC_CERTS_FILES_H
#define MEC_CERTS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/report.h"

#define FILES_MAX_BYTES ((size_t)1024 * 1024) // no certificate or key comes near it

// ---- in

struct input_file {
    char *path;
    char *fault; // why it cannot be read, as far as walking has shown; NULL: nothing known
    bool named;  // given on the command line, not found in a folder
};

struct input_files {
    struct input_file *items;
    size_t count;
};

// Lists files and, recursively, what is in folders: entries in byte order, names that begin with a dot left
// out, symbolic links followed. A folder that contains itself, a folder that cannot be read, and what is no
// regular file become items with a fault. False only without memory. Release in either case.
bool files_collect(const struct config_list *paths, struct input_files *files);
void files_release(struct input_files *files);

// A whole file in secret memory. On failure nothing needs freeing and *e says why, without the path.
struct file_bytes {
    uint8_t *data;
    size_t len;
    size_t room; // as allocated
};
bool files_read(const char *path, struct file_bytes *bytes, struct error *e);
void files_free(struct file_bytes *bytes);

// ---- out

enum files_mode { FILES_PUBLIC = 0644, FILES_SECRET = 0600 };

// Writes a file under a temporary name, syncs it and gives it its name. It fails if the name is taken, unless
// `replace`.
bool files_write(const char *path, const void *data, size_t len, enum files_mode mode, bool replace,
                 struct error *e);

#endif
