// Files with a master key in them: 64 hexadecimal digits, or 32 raw bytes; read with their mode looked at, written once.
#include "common/seal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/rand.h>

#include "common/hex.h"
#include "common/masterkey.h"
#include "common/secmem.h"

#define HEX_LEN (2 * SEAL_KEY_LEN)

// The contents of a master key file, in either form. False when it is neither.
static bool parse_master(const uint8_t *text, size_t len, uint8_t master[static SEAL_KEY_LEN])
{
    if (len == SEAL_KEY_LEN) {
        memcpy(master, text, SEAL_KEY_LEN);
        return true;
    }
    if (len == HEX_LEN + 1 && text[HEX_LEN] == '\n')
        len--;
    if (len != HEX_LEN)
        return false;
    for (size_t i = 0; i < SEAL_KEY_LEN; i++) {
        int high = hex_digit((char)text[2 * i]), low = hex_digit((char)text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        master[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool check_file(int fd, const char *path, mode_t refused, struct error *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        error_set(e, "%s: %s", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        error_set(e, "%s: a master key must be a regular file", path);
        return false;
    }
    if ((st.st_mode & refused) != 0) {
        error_set(
            e, "%s: the group or others may read or write the master key (mode %04o, expected 0600 or 0400)",
            path, (unsigned)(st.st_mode & 07777));
        return false;
    }
    return true;
}

// Reads up to len bytes; -1 with *e set on an error.
static ssize_t read_up_to(int fd, const char *path, uint8_t *buf, size_t len, struct error *e)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = read(fd, buf + got, len - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            error_set(e, "%s: read: %s", path, strerror(errno));
            return -1;
        }
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

ssize_t seal_file_read(const char *path, mode_t refused, uint8_t *text, size_t room, struct error *e)
{
    // O_NONBLOCK: a FIFO must not hang us.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        error_set(e, "%s: %s", path, strerror(errno));
        return -1;
    }
    ssize_t len = check_file(fd, path, refused, e) ? read_up_to(fd, path, text, room, e) : -1;
    (void)close(fd);
    return len;
}

struct seal_key *seal_file_key(const char *path, const uint8_t *text, size_t len, struct error *e)
{
    struct seal_key *key = NULL;
    uint8_t *master = secmem_alloc(SEAL_KEY_LEN);
    if (master == NULL)
        error_set(e, "%s: out of secret memory", path);
    else if (parse_master(text, len, master))
        key = seal_key_create(master, e);
    else
        error_set(e, "%s: not a master key: expected %d hexadecimal digits or %d raw bytes, found %s", path,
                  HEX_LEN, SEAL_KEY_LEN,
                  len < HEX_LEN || len >= HEX_LEN + 2 ? "another length" : "other characters");
    secmem_free(&master, SEAL_KEY_LEN);
    return key;
}

struct seal_key *seal_key_load(const char *path, struct error *e)
{
    return master_key_load(path, NULL, e);
}

static bool write_all(int fd, const uint8_t *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, buf, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        buf += n;
        len -= (size_t)n;
    }
    return true;
}

// Makes the new name itself durable.
static bool sync_folder_of(const char *path)
{
    char copy[4096];
    if (strlen(path) >= sizeof copy) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(copy, path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    (void)close(fd);
    return ok;
}

bool seal_file_write(const char *path, const uint8_t *text, size_t len, struct error *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        error_set(e, "%s: %s", path,
                  errno == EEXIST ? "exists; a master key is never overwritten" : strerror(errno));
        return false;
    }
    bool ok = fchmod(fd, 0600) == 0 && write_all(fd, text, len) && fsync(fd) == 0;
    if (!ok)
        error_set(e, "%s: write: %s", path, strerror(errno));
    if (close(fd) != 0 && ok) {
        error_set(e, "%s: close: %s", path, strerror(errno));
        ok = false;
    }
    if (ok && !sync_folder_of(path)) {
        error_set(e, "%s: sync its folder: %s", path, strerror(errno));
        ok = false;
    }
    if (!ok)
        (void)unlink(path);
    return ok;
}

bool seal_key_generate(const char *path, struct error *e)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *master = secmem_alloc(SEAL_KEY_LEN);
    uint8_t *text = secmem_alloc(HEX_LEN + 1);
    bool ok = false;
    if (master == NULL || text == NULL) {
        error_set(e, "%s: out of secret memory", path);
    } else if (RAND_priv_bytes(master, SEAL_KEY_LEN) != 1) {
        error_set_openssl(e, "%s: random bytes", path);
    } else {
        for (size_t i = 0; i < SEAL_KEY_LEN; i++) {
            text[2 * i] = (uint8_t)digits[master[i] >> 4];
            text[2 * i + 1] = (uint8_t)digits[master[i] & 15];
        }
        text[HEX_LEN] = '\n';
        ok = seal_file_write(path, text, HEX_LEN + 1, e);
    }
    secmem_free(&text, HEX_LEN + 1);
    secmem_free(&master, SEAL_KEY_LEN);
    return ok;
}
