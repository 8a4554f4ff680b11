// The system calls by which the engine touches files, in one table, so that a test can make any of them fail
// or come back short. Nothing else in the engine calls the system's file functions for store files.
//
// The table is read without a lock: replace members only while no store is open, or install functions that
// decide for themselves (atomically) when to fail.
#ifndef MEC_KVSTORE_KV_IO_H
#define MEC_KVSTORE_KV_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct kv_io {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*close)(int fd);
    ssize_t (*pread)(int fd, void *buf, size_t len, off_t offset);
    ssize_t (*pwritev)(int fd, const struct iovec *iov, int count, off_t offset);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    int (*ftruncate)(int fd, off_t size);
    int (*fallocate)(int fd, int mode, off_t offset, off_t len);
    int (*fadvise)(int fd, off_t offset, off_t len, int advice); // returns an errno value, as posix_fadvise()
    int (*unlink)(const char *path);
    int (*rename)(const char *from, const char *to);
    int (*sync_file_range)(int fd, off_t offset, off_t len, unsigned flags); // hints: failures do not matter
    // Hooks, NULL by default. `completed` is given the result of each read of a record (bytes, or -errno; by
    // whatever means it was read, io_uring too) and what it returns is taken for it; it may change the bytes.
    // `ring_error` is asked before io_uring is entered: an errno value other than 0 stands for the failure of
    // that system call, which is then not made.
    ssize_t (*completed)(int fd, void *buf, size_t len, off_t offset, ssize_t result);
    int (*ring_error)(void);
};
extern struct kv_io kv_io;

// Whether all members but the hooks are the system's own. While some are not, records are read with
// kv_io.pread through the page cache only (no io_uring, no O_DIRECT), so that a simulated disk sees every
// read. Decided when a store is opened.
bool kv_io_is_system(void);

// Puts the system's own functions back.
void kv_io_reset(void);

// Reads len bytes or up to the end of the file; interrupted and short reads are continued. Returns 0 and the
// count in *got, or an errno value.
int kv_io_read(int fd, void *buf, size_t len, uint64_t offset, size_t *got);

// Writes all of the parts (which it may modify) at offset, continuing short writes. Returns 0 or an errno
// value; on failure any part of the range may have been written.
int kv_io_writev(int fd, struct iovec *iov, int count, uint64_t offset);
int kv_io_write(int fd, const void *buf, size_t len, uint64_t offset);

// Writes zeros over [offset, offset + len). Returns 0 or an errno value.
int kv_io_zero(int fd, uint64_t offset, uint64_t len);

// Opens a folder, fsyncs it, closes it. Returns 0 or an errno value.
int kv_io_sync_dir(const char *dir);

#endif
