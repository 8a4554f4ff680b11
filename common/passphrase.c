#include "common/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/secmem.h"

#define ROOM ((size_t)PASSPHRASE_MAX + 2) // a line end and one more to see that a line is too long

// Reads up to the line end, the end of the file or the end of the room.
static ssize_t read_line(int fd, char *to)
{
    size_t got = 0;
    while (got < ROOM && memchr(to, '\n', got) == NULL) {
        ssize_t n = read(fd, to + got, ROOM - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static bool take_line(struct passphrase *p, size_t got, const char *path, struct error *e)
{
    const char *end = memchr(p->text, '\n', got);
    size_t len = end != NULL ? (size_t)(end - p->text) : got;
    if (end != NULL && len > 0 && p->text[len - 1] == '\r')
        len--;
    if (len > PASSPHRASE_MAX) {
        error_set(e, "%s: passphrase: the first line is longer than %d bytes", path, PASSPHRASE_MAX);
        return false;
    }
    if (memchr(p->text, '\0', len) != NULL) {
        error_set(e, "%s: passphrase: holds a NUL byte", path);
        return false;
    }
    memset(p->text + len, 0, ROOM - len);
    p->len = len;
    return true;
}

bool passphrase_read(int fd, const char *name, struct passphrase *passphrase, struct error *e)
{
    bool ok = false;
    *passphrase = (struct passphrase){secmem_alloc(ROOM), 0};
    if (passphrase->text == NULL) {
        error_set(e, "%s: out of secret memory", name);
    } else {
        ssize_t got = read_line(fd, passphrase->text);
        if (got < 0)
            error_set(e, "%s: read: %s", name, strerror(errno));
        else
            ok = take_line(passphrase, (size_t)got, name, e);
    }
    if (!ok)
        passphrase_wipe(passphrase);
    return ok;
}

bool passphrase_load(const char *path, struct passphrase *passphrase, struct error *e)
{
    *passphrase = (struct passphrase){NULL, 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        error_set(e, "%s: %s", path, strerror(errno));
        return false;
    }
    bool ok = passphrase_read(fd, path, passphrase, e);
    (void)close(fd);
    return ok;
}

void passphrase_wipe(struct passphrase *passphrase)
{
    if (passphrase->text != NULL)
        secmem_free(&passphrase->text, ROOM);
    *passphrase = (struct passphrase){NULL, 0};
}
