// --load: a file, or standard input, before the server serves.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "kvstore/resp/rdb_load.h"

#define PIECE (256u * 1024)

static void log_counts(const char *path, const struct resp_load_counts *c, bool whole)
{
    char quoted[512], others[192], quoted_others[256];
    log_info(
        whole ? "load_done" : "load_ended", "file=%s keys=%llu bytes=%llu expired=%llu other_types=%s",
        log_quote(path, quoted, sizeof quoted), (unsigned long long)c->loaded, (unsigned long long)c->bytes,
        (unsigned long long)c->expired,
        log_quote(rdb_kind_others(c->others, others, sizeof others), quoted_others, sizeof quoted_others));
    if (c->unfit != 0 || c->no_database != 0)
        log_warn("load_left_out", "keys_of_no_fitting_length=%llu in_databases_that_there_are_not=%llu",
                 (unsigned long long)c->unfit, (unsigned long long)c->no_database);
}

// RDB_IO: *read_errno is set. RDB_MORE: it was stopped.
static enum rdb_status read_all(struct resp_load *load, int fd, uint8_t *piece, bool (*go_on)(void *arg),
                                void *arg, int *read_errno)
{
    for (;;) {
        ssize_t got = read(fd, piece, PIECE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            *read_errno = errno;
            return RDB_IO;
        }
        size_t used = 0;
        enum rdb_status status =
            got == 0 ? resp_load_end(load) : resp_load_feed(load, piece, (size_t)got, &used);
        if (status == RDB_DONE && used < (size_t)got)
            log_warn("load_rest_ignored", "note=\"there is more behind the end of the RDB\"");
        if (got == 0 || status != RDB_MORE || (go_on != NULL && !go_on(arg)))
            return status;
    }
}

static bool load_fd(struct resp_shared *shared, const char *path, int fd, bool (*go_on)(void *arg), void *arg,
                    struct error *e)
{
    int read_errno = 0;
    uint8_t *piece = malloc(PIECE);
    struct resp_load *load = resp_load_create(shared, NULL, NULL);
    if (piece == NULL || load == NULL) {
        error_set(e, "--load: out of memory");
        resp_load_destroy(load);
        free(piece);
        return false;
    }
    enum rdb_status status = read_all(load, fd, piece, go_on, arg, &read_errno);
    bool settled = resp_load_settle(load, true);
    enum kv_status synced = kv_sync(shared->store);
    const struct resp_load_counts *counts = resp_load_counts(load);
    bool good = status == RDB_DONE && settled && synced == KV_OK;
    if (!good) {
        const char *why = resp_load_error(load);
        if (status == RDB_IO)
            why = strerror(read_errno);
        else if (status == RDB_MORE)
            why = "stopped by a signal";
        else if (status == RDB_DONE && settled)
            why = kv_status_text(synced);
        error_set(e, "--load: %s: %s; %llu keys were loaded before", path, why,
                  (unsigned long long)counts->loaded);
    }
    log_counts(path, counts, good);
    resp_load_destroy(load);
    explicit_bzero(piece, PIECE);
    free(piece);
    return good;
}

bool resp_load_file(struct resp_shared *shared, const char *path, bool (*go_on)(void *arg), void *arg,
                    struct error *e)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_set(e, "--load: %s: %s", path, strerror(errno));
        return false;
    }
    bool good = load_fd(shared, standard ? "standard input" : path, fd, go_on, arg, e);
    if (!standard)
        (void)close(fd);
    return good;
}
