// A folder that is served: opens the file a request's path names, and nothing outside the folder.
//
// The kernel keeps the border (openat2 with RESOLVE_BENEATH: neither ".." nor a symbolic link leads out);
// where it has no openat2, each component is opened by itself and symbolic links are refused altogether.
// Names that begin with a dot are not served, but for ".well-known".
#ifndef MEC_EDGE_SIM_FILE_ROOT_H
#define MEC_EDGE_SIM_FILE_ROOT_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/report.h"

struct file_root;

struct file_root *file_root_open(const char *dir, struct error *e);
void file_root_close(struct file_root **root);

enum file_result {
    FILE_FOUND,     // file->fd is the caller's to close
    FILE_MISSING,   // or not allowed: a user sees no difference
    FILE_ADD_SLASH, // a folder, named without the slash at the end
    FILE_TROUBLE,   // out of descriptors and the like
};

struct file {
    int fd;
    off_t size;
    const char *content_type;
};

// path: decoded, begins with '/'. A folder yields its index.html. Any thread.
enum file_result file_root_find(const struct file_root *root, const char *path, struct file *file);

// As file_root_find, without openat2: for systems that lack it, and for tests.
enum file_result file_root_find_stepwise(const struct file_root *root, const char *path, struct file *file);

const char *file_content_type(const char *path);

#endif
