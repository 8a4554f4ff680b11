#include "kvstore/kv_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int system_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

#define SYSTEM_CALLS                                                                                         \
    {                                                                                                        \
        .open = system_open, .close = close, .pread = pread, .pwritev = pwritev, .fdatasync = fdatasync,     \
        .fsync = fsync, .ftruncate = ftruncate, .fallocate = fallocate, .unlink = unlink, .rename = rename,  \
        .sync_file_range = sync_file_range, .fadvise = posix_fadvise,                                        \
    }

struct kv_io kv_io = SYSTEM_CALLS;

void kv_io_reset(void)
{
    kv_io = (struct kv_io)SYSTEM_CALLS;
}

bool kv_io_is_system(void)
{
    struct kv_io now = kv_io;
    now.completed = NULL;
    now.ring_error = NULL;
    const struct kv_io own = SYSTEM_CALLS;
    return memcmp(&now, &own, sizeof now) == 0; // function pointers only: no padding
}

int kv_io_read(int fd, void *buf, size_t len, uint64_t offset, size_t *got)
{
    *got = 0;
    while (*got < len) {
        ssize_t n = kv_io.pread(fd, (uint8_t *)buf + *got, len - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return 0;
}

// Drops the first n bytes of the parts.
static void advance(struct iovec **iov, int *count, size_t n)
{
    while (*count > 0 && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        (*count)--;
    }
    if (*count > 0) {
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
}

int kv_io_writev(int fd, struct iovec *iov, int count, uint64_t offset)
{
    advance(&iov, &count, 0);
    while (count > 0) {
        ssize_t n = kv_io.pwritev(fd, iov, count, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return ENOSPC;
        offset += (uint64_t)n;
        advance(&iov, &count, (size_t)n);
    }
    return 0;
}

int kv_io_write(int fd, const void *buf, size_t len, uint64_t offset)
{
    union { // pwritev() does not write through the pointer, its type only says it could
        const void *from;
        void *to;
    } base = {.from = buf};
    struct iovec iov = {.iov_base = base.to, .iov_len = len};
    return kv_io_writev(fd, &iov, 1, offset);
}

int kv_io_zero(int fd, uint64_t offset, uint64_t len)
{
    static const uint8_t zeros[65536];
    while (len > 0) {
        size_t n = len < sizeof zeros ? (size_t)len : sizeof zeros;
        int error = kv_io_write(fd, zeros, n, offset);
        if (error != 0)
            return error;
        offset += n;
        len -= n;
    }
    return 0;
}

bool kv_io_is_zero(int fd, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[4096];
    uint8_t block[4096];
    bool zero = true;
    while (from < to && zero) {
        size_t n = to - from < sizeof block ? (size_t)(to - from) : sizeof block, got;
        zero = kv_io_read(fd, block, n, from, &got) == 0 && got == n && memcmp(block, zeros, n) == 0;
        from += n;
    }
    explicit_bzero(block, sizeof block); // a torn value, maybe
    return zero;
}

int kv_io_sync_dir(const char *dir)
{
    int fd = kv_io.open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int error = kv_io.fsync(fd) == 0 ? 0 : errno;
    (void)kv_io.close(fd);
    return error;
}
