#include "kv_kit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvstore/kv_io.h"

_Atomic uint64_t kit_now_ms = 1000000;

void kit_folder(char path[128])
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(path, 128, "%.100s/kv-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(path));
}

static void each_file(const char *dir, void (*fn)(const char *path, const char *name, void *arg), void *arg)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[512];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        fn(path, e->d_name, arg);
    }
    (void)closedir(d);
}

static void remove_one(const char *path, const char *name, void *arg)
{
    (void)name;
    (void)arg;
    assert_int_equal(unlink(path), 0);
}

void kit_remove(const char *path)
{
    each_file(path, remove_one, NULL);
    assert_int_equal(rmdir(path), 0);
}

static void copy_one(const char *path, const char *name, void *arg)
{
    char to[512];
    (void)snprintf(to, sizeof to, "%s/%s", (const char *)arg, name);
    size_t len;
    uint8_t *data = kit_read_file(path, &len);
    kit_write_file(to, data, len);
    free(data);
}

void kit_copy(const char *from, const char *to)
{
    union { // the callback's argument is not const
        const char *in;
        char *out;
    } arg = {.in = to};
    each_file(from, copy_one, arg.out);
}

static uint64_t kit_clock(void *arg)
{
    (void)arg;
    return atomic_load(&kit_now_ms);
}

struct kv_options kit_options(void)
{
    return (struct kv_options){.limit_bytes = 64u << 20,
                               .fsync = KV_FSYNC_ALWAYS,
                               .segment_bytes = 64 * 1024,
                               .create = true,
                               .now_ms = kit_clock};
}

struct kv_store *kit_open(const char *dir, const struct kv_options *options)
{
    struct kv_options usual = kit_options();
    struct kv_store *store;
    char error[512];
    enum kv_status status = kv_open(dir, options != NULL ? options : &usual, &store, error, sizeof error);
    if (status != KV_OK)
        fail_msg("kv_open: %s: %s", kv_status_text(status), error);
    return store;
}

void kit_close(struct kv_store **store)
{
    assert_int_equal(kv_close(store), KV_OK);
    assert_null(*store);
}

void kit_put(struct kv_store *store, const char *key, const char *value)
{
    assert_int_equal(kv_put(store, key, strlen(key), value, strlen(value), 0, 0), KV_OK);
}

void kit_expect(struct kv_store *store, const char *key, const char *value)
{
    void *got;
    size_t len;
    enum kv_status status = kv_get_alloc(store, key, strlen(key), &got, &len, NULL);
    if (status != (value != NULL ? KV_OK : KV_NOT_FOUND))
        fail_msg("get %s: %s", key, kv_status_text(status));
    if (value != NULL && (len != strlen(value) || memcmp(got, value, len) != 0))
        fail_msg("get %s: %.*s instead of %s", key, (int)len, (const char *)got, value);
    free(got);
}

enum kv_status kit_get_status(struct kv_store *store, const char *key)
{
    void *got;
    size_t len;
    enum kv_status status = kv_get_alloc(store, key, strlen(key), &got, &len, NULL);
    free(got);
    return status;
}

// ---- raw files

char *kit_segment_path(const char *dir, unsigned id, char path[192])
{
    (void)snprintf(path, 192, "%.128s/%08u.seg", dir, id);
    return path;
}

uint8_t *kit_read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    struct stat st;
    assert_int_equal(fstat(fileno(f), &st), 0);
    uint8_t *data = malloc((size_t)st.st_size + 1);
    assert_non_null(data);
    *len = fread(data, 1, (size_t)st.st_size, f);
    (void)fclose(f);
    return data;
}

void kit_write_file(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

void kit_forget_index(const char *dir)
{
    char path[192];
    (void)snprintf(path, sizeof path, "%.128s/INDEX", dir);
    (void)unlink(path);
}

struct search {
    const void *bytes;
    size_t len;
    unsigned found;
};

static void search_one(const char *path, const char *name, void *arg)
{
    struct search *search = arg;
    if (strstr(name, ".seg") == NULL)
        return;
    size_t len;
    uint8_t *data = kit_read_file(path, &len);
    if (memmem(data, len, search->bytes, search->len) != NULL)
        search->found++;
    free(data);
}

unsigned kit_files_with(const char *dir, const void *bytes, size_t len)
{
    struct search search = {.bytes = bytes, .len = len};
    each_file(dir, search_one, &search);
    return search.found;
}

// ---- faults

static struct {
    _Atomic int error, skip, count;
    _Atomic size_t partial;
    _Atomic unsigned calls;
} faults[KIT_FAULTS];

// Whether this call fails.
static bool strikes(enum kit_fault fault)
{
    atomic_fetch_add(&faults[fault].calls, 1);
    if (atomic_load(&faults[fault].count) == 0)
        return false;
    if (atomic_load(&faults[fault].skip) > 0) {
        atomic_fetch_sub(&faults[fault].skip, 1);
        return false;
    }
    if (atomic_load(&faults[fault].count) > 0)
        atomic_fetch_sub(&faults[fault].count, 1);
    errno = atomic_load(&faults[fault].error);
    return true;
}

static ssize_t faulty_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    if (!strikes(KIT_WRITE))
        return pwritev(fd, iov, count, offset);
    int error = errno;
    size_t partial = atomic_load(&faults[KIT_WRITE].partial);
    for (int i = 0; i < count && partial > 0; i++) {
        size_t n = iov[i].iov_len < partial ? iov[i].iov_len : partial;
        assert_int_equal(pwrite(fd, iov[i].iov_base, n, offset), (ssize_t)n);
        offset += (off_t)n;
        partial -= n;
    }
    errno = error;
    return -1;
}

static int faulty_fdatasync(int fd)
{
    return strikes(KIT_FDATASYNC) ? -1 : fdatasync(fd);
}

static int faulty_fsync(int fd)
{
    return strikes(KIT_FSYNC) ? -1 : fsync(fd);
}

static int faulty_open(const char *path, int flags, mode_t mode)
{
    return strikes(KIT_OPEN) ? -1 : open(path, flags, mode);
}

static int faulty_rename(const char *from, const char *to)
{
    return strikes(KIT_RENAME) ? -1 : rename(from, to);
}

static int faulty_ftruncate(int fd, off_t size)
{
    return strikes(KIT_TRUNCATE) ? -1 : ftruncate(fd, size);
}

static ssize_t faulty_pread(int fd, void *buf, size_t len, off_t offset)
{
    return strikes(KIT_PREAD) ? -1 : pread(fd, buf, len, offset);
}

static int faulty_fallocate(int fd, int mode, off_t offset, off_t len)
{
    return strikes(KIT_FALLOCATE) ? -1 : fallocate(fd, mode, offset, len);
}

static int faulty_writeback(int fd, off_t offset, off_t len, unsigned flags)
{
    return strikes(KIT_WRITEBACK) ? -1 : sync_file_range(fd, offset, len, flags);
}

static void install(void)
{
    static bool installed;
    if (installed)
        return;
    installed = true;
    kv_io.pwritev = faulty_pwritev;
    kv_io.fdatasync = faulty_fdatasync;
    kv_io.fsync = faulty_fsync;
    kv_io.open = faulty_open;
    kv_io.rename = faulty_rename;
    kv_io.ftruncate = faulty_ftruncate;
    kv_io.pread = faulty_pread;
    kv_io.fallocate = faulty_fallocate;
    kv_io.sync_file_range = faulty_writeback;
}

void kit_heal(void)
{
    install(); // tests call it before they open a store
    for (size_t i = 0; i < KIT_FAULTS; i++) {
        atomic_store(&faults[i].count, 0);
        atomic_store(&faults[i].skip, 0);
        atomic_store(&faults[i].partial, 0);
        atomic_store(&faults[i].calls, 0);
    }
}

void kit_fail(enum kit_fault fault, int error, int skip, int count, size_t partial)
{
    atomic_store(&faults[fault].error, error);
    atomic_store(&faults[fault].skip, skip);
    atomic_store(&faults[fault].partial, partial);
    atomic_store(&faults[fault].count, count);
}

unsigned kit_calls(enum kit_fault fault)
{
    return atomic_load(&faults[fault].calls);
}
