// A small file of the kernel's that is read again and again: opened once, read from its beginning each time. Found again when it has been replaced. One thread
// at a time on a file.
#ifndef MEC_SCALEUP_LIMITS_FILE_H
#define MEC_SCALEUP_LIMITS_FILE_H

#include <stddef.h>
#include <stdint.h>

struct limits_file {
    int fd; // -1: not open
};
#define LIMITS_FILE_CLOSED ((struct limits_file){.fd = -1})

enum limits_file_status {
    LIMITS_FILE_READ,
    LIMITS_FILE_NONE, // there is no such file, or the kernel has not what it would say
    LIMITS_FILE_TROUBLE, // there may be: no descriptor, no memory, a failing file system. What it said last is likely still true
};

// Reads FOLDER NAME (put together as they are) into buf, at most size bytes, without a zero byte at the end. *len is set when it could be read.
enum limits_file_status limits_file_read(struct limits_file *file, const char *folder, const char *name,
                                         char *buf, size_t size, size_t *len);
// A file that holds one number (limits_parse_number()). Anything else in it is trouble.
enum limits_file_status limits_file_number(struct limits_file *file, const char *folder, const char *name,
                                           uint64_t *value);
void limits_file_close(struct limits_file *file);

#endif
