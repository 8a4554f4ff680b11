#include "kvstore/kvstore_replica.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/tls.h"
#include "common/units.h"

bool kvstore_replica_parse(const char *text, char host[static RESP_REPLICA_HOST], unsigned *port,
                           struct error *e)
{
    const char *colon = strrchr(text, ':'), *end = colon;
    uint64_t number;
    if (text[0] == '[' && colon != NULL && colon > text + 1 && colon[-1] == ']') {
        text++;
        end--;
    } else if (colon != NULL && memchr(text, ':', (size_t)(colon - text)) != NULL) {
        colon = NULL; // which part would be the port?
    }
    if (colon == NULL || end == text || (size_t)(end - text) >= RESP_REPLICA_HOST ||
        !units_parse_uint(colon + 1, &number) || number == 0 || number > 65535) {
        error_set(e, "--replicaof: found %.300s, expected HOST:PORT or [ADDRESS]:PORT", text);
        return false;
    }
    memcpy(host, text, (size_t)(end - text));
    host[end - text] = '\0';
    *port = (unsigned)number;
    return true;
}

static bool fail(struct error *e, const char *path, const char *why)
{
    error_set(e, "--masterauth-file: %s: %s", path, why);
    return false;
}

static bool read_password_fd(int fd, const char *path, char *password, size_t size, struct error *e)
{
    struct stat st;
    size_t len = 0;
    if (fstat(fd, &st) != 0)
        return fail(e, path, strerror(errno));
    if (S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return fail(e, path, "others than its owner may use it, expected mode 0600");
    while (len < size) {
        ssize_t n = read(fd, password + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(e, path, strerror(errno));
        if (n == 0)
            break;
        len += (size_t)n;
    }
    char *end = memchr(password, '\n', len);
    if (end != NULL)
        len = (size_t)(end - password);
    if (len != 0 && password[len - 1] == '\r')
        len--;
    if (len == 0 || len == size || memchr(password, '\0', len) != NULL)
        return fail(e, path, "expected a first line of 1 to 511 bytes");
    explicit_bzero(password + len, size - len);
    return true;
}

static bool read_password(const char *path, struct kvstore_replica *replica, struct error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(e, path, strerror(errno));
    bool good = read_password_fd(fd, path, replica->password, sizeof replica->password, e);
    (void)close(fd);
    replica->options.password = replica->password;
    return good;
}

bool kvstore_replica_read(const struct kvstore_options *o, struct kvstore_replica *replica, struct error *e)
{
    *replica = (struct kvstore_replica){.options = {.user = o->primary_user,
                                                    .timeout_ms = (unsigned)(o->primary_timeout / 1000),
                                                    .writable = o->replica_writable}};
    if (o->primary != NULL) {
        if (!kvstore_replica_parse(o->primary, replica->host, &replica->options.primary_port, e))
            return false;
        replica->options.primary_host = replica->host;
    }
    if (o->primary_password_file != NULL && !read_password(o->primary_password_file, replica, e))
        return false;
    if (o->primary_ca == NULL)
        return true;
    const struct tls_files files = {
        .cert_file = o->primary_cert, .key_file = o->primary_key, .ca_file = o->primary_ca};
    replica->options.tls = tls_client_ctx_create(&files, e);
    return replica->options.tls != NULL;
}

void kvstore_replica_release(struct kvstore_replica *replica)
{
    SSL_CTX_free(replica->options.tls);
    explicit_bzero(replica->password, sizeof replica->password);
}
