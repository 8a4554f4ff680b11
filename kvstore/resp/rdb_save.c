#include "kvstore/resp/rdb_save.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "kvstore/rdb/rdb_writer.h"
#include "kvstore/resp/db.h"
#include "kvstore/resp/pool.h"
#include "kvstore/resp/rdb_sync.h"
#include "kvstore/resp/version.h"

// ---- the bytes

struct saving {
    struct resp_shared *shared;
    struct rdb_writer *writer;
    int fd;
    bool (*tick)(void *arg);
    void *arg;
    uint64_t keys;
    int error;                              // errno; ECANCELED: by tick
    unsigned db;                            // selected; RESP_DATABASES: none yet
    bool seen[RESP_DATABASES];              // it was selected before
    uint8_t number_of_laid[RESP_DATABASES]; // as the databases were when it began
};

static int write_all(void *arg, const void *bytes, size_t len)
{
    struct saving *s = arg;
    const uint8_t *at = bytes;
    while (len != 0) {
        ssize_t n = write(s->fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        at += n;
        len -= (size_t)n;
    }
    return s->tick == NULL || s->tick(s->arg) ? 0 : ECANCELED;
}

// Keys come in no order of databases: the numbers that help a reader to make room are in front of the first of each.
static int select_db(struct saving *s, unsigned db)
{
    struct resp_db_count count = {0};
    if (s->db == db)
        return 0;
    s->db = db;
    if (!s->seen[db] && s->shared->dbs != NULL)
        count = resp_db_count(s->shared, db);
    s->seen[db] = true;
    return rdb_writer_select(s->writer, db, count.keys, count.expiring);
}

static bool save_key(void *arg, const void *name, size_t name_len, const void *value, size_t len,
                     uint64_t expire_ms)
{
    struct saving *s = arg;
    struct resp_arg key;
    unsigned db;
    if (!resp_db_of(s->shared, name, name_len, &db, &key))
        return true; // a record of the server's own
    s->error = select_db(s, s->number_of_laid[resp_db_laid_of(name, name_len)]);
    if (s->error == 0)
        s->error = rdb_writer_put(s->writer, key.data, key.len, value, len, expire_ms);
    s->keys++;
    return s->error == 0;
}

static bool write_keys(struct saving *s, struct error *e)
{
    struct kv_stats before, after;
    kv_get_stats(s->shared->store, &before);
    enum kv_status status = kv_export(s->shared->store, save_key, s);
    if (s->error == 0 && status == KV_OK)
        s->error = rdb_writer_finish(s->writer);
    if (s->error == 0 && status == KV_OK)
        return true;
    kv_get_stats(s->shared->store, &after);
    if (s->error == ECANCELED)
        error_set(e, "ended before it was done");
    else if (s->error != 0)
        error_set(e, "%s", strerror(s->error));
    else if (status == KV_CORRUPT)
        error_set(e, "%llu records are damaged (kvcheck)", (unsigned long long)after.damaged_records);
    else
        error_set(e, "the store: %s", kv_status_text(status));
    return false;
}

bool resp_save_write(struct resp_shared *shared, int fd, bool (*tick)(void *arg), void *arg, uint64_t *keys,
                     struct error *e)
{
    struct saving s = {.shared = shared, .fd = fd, .tick = tick, .arg = arg, .db = RESP_DATABASES};
    const struct rdb_writer_options options = {.write = write_all,
                                               .arg = &s,
                                               .redis_version = RESP_REDIS_VERSION,
                                               .now_s = resp_now_ms(shared) / 1000};
    for (unsigned db = 0; db < RESP_DATABASES; db++)
        s.number_of_laid[resp_db_laid(shared, db)] = (uint8_t)db;
    s.writer = rdb_writer_create(&options);
    if (s.writer == NULL) {
        error_set(e, "out of memory");
        return false;
    }
    bool good = write_keys(&s, e);
    rdb_writer_destroy(s.writer);
    if (keys != NULL)
        *keys = s.keys;
    return good;
}

// ---- the file

static bool go_on(void *arg)
{
    const struct resp_saves *saves = arg;
    return !atomic_load_explicit(&saves->stop, memory_order_relaxed);
}

static bool fail(struct error *e, const char *what, const char *path)
{
    error_set(e, "%s %s: %s", what, path, strerror(errno));
    return false;
}

static bool write_file(struct resp_shared *shared, int dir_fd, const char *temp, uint64_t *keys,
                       struct error *e)
{
    struct resp_saves *saves = shared->saves;
    (void)unlinkat(dir_fd, temp, 0); // of a process that was killed
    int fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(e, "create", temp);
    bool good = resp_save_write(shared, fd, go_on, saves, keys, e);
    if (good && fsync(fd) != 0)
        good = fail(e, "sync", temp);
    if (close(fd) != 0 && good)
        good = fail(e, "close", temp);
    if (good && renameat(dir_fd, temp, dir_fd, saves->name) != 0)
        good = fail(e, "rename", temp);
    if (!good)
        (void)unlinkat(dir_fd, temp, 0);
    else if (fsync(dir_fd) != 0)
        good = fail(e, "sync", saves->dir);
    return good;
}

static bool save_file(struct resp_shared *shared, uint64_t *keys, struct error *e)
{
    struct resp_saves *saves = shared->saves;
    char temp[NAME_MAX + 8];
    int dir_fd = open(saves->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return fail(e, "open", saves->dir);
    (void)snprintf(temp, sizeof temp, "%s.new", saves->name);
    bool good = write_file(shared, dir_fd, temp, keys, e);
    (void)close(dir_fd);
    return good;
}

static bool save(struct resp_shared *shared, bool background, struct error *e)
{
    struct resp_saves *saves = shared->saves;
    uint64_t keys = 0;
    (void)pthread_mutex_lock(&saves->file_lock);
    uint64_t begun_ms = resp_now_ms(shared);
    atomic_store(&saves->begun_ms, begun_ms);
    bool good = save_file(shared, &keys, e);
    (void)pthread_mutex_unlock(&saves->file_lock);
    uint64_t now_ms = resp_now_ms(shared);
    if (good) {
        atomic_store(&shared->last_save_ms, now_ms);
        atomic_fetch_add(&saves->saves, 1);
        log_info("rdb_saved", "keys=%llu background=%d ms=%llu", (unsigned long long)keys, background,
                 (unsigned long long)(now_ms - begun_ms));
    } else {
        char quoted[256];
        log_error("rdb_save_failed", "background=%d error=%s", background,
                  log_quote(e->text, quoted, sizeof quoted));
    }
    if (background)
        atomic_store(&saves->last_ms, now_ms - begun_ms);
    atomic_store(&saves->last_failed, !good);
    return good;
}

bool resp_save_now(struct resp_shared *shared, struct error *e)
{
    return save(shared, false, e);
}

static void *save_behind(void *arg)
{
    struct resp_shared *shared = arg;
    struct error e;
    (void)save(shared, true, &e);
    atomic_store(&shared->saves->in_progress, false);
    return NULL;
}

bool resp_save_begin(struct resp_shared *shared, struct error *e)
{
    struct resp_saves *saves = shared->saves;
    if (atomic_exchange(&saves->in_progress, true)) {
        error_set(e, "Background save already in progress");
        return false;
    }
    (void)pthread_mutex_lock(&saves->lock);
    if (saves->started)
        (void)pthread_join(saves->thread, NULL); // it is done
    saves->started =
        !atomic_load(&saves->stop) && resp_thread_start(save_behind, shared, &saves->thread) == 0;
    bool started = saves->started;
    (void)pthread_mutex_unlock(&saves->lock);
    if (started)
        return true;
    atomic_store(&saves->in_progress, false);
    error_set(e, "no thread for it");
    return false;
}

// ---- begin and end

bool resp_saves_open(struct resp_shared *shared, const char *dir, const char *name, struct error *e)
{
    struct resp_saves *saves = calloc(1, sizeof *saves);
    if (name[0] == '\0' || strchr(name, '/') != NULL || strlen(name) > NAME_MAX - 8) {
        error_set(e, "dbfilename: found \"%s\", expected the name of a file, without a folder", name);
        free(saves);
        return false;
    }
    if (saves == NULL || (saves->dir = strdup(dir)) == NULL || (saves->name = strdup(name)) == NULL) {
        error_set(e, "RESP server: out of memory");
        if (saves != NULL)
            free(saves->dir);
        free(saves);
        return false;
    }
    (void)pthread_mutex_init(&saves->file_lock, NULL);
    (void)pthread_mutex_init(&saves->lock, NULL);
    shared->saves = saves;
    return true;
}

void resp_saves_close(struct resp_shared *shared)
{
    struct resp_saves *saves = shared->saves;
    if (saves == NULL)
        return;
    atomic_store(&saves->stop, true);
    resp_sync_end_all(saves);
    if (saves->started)
        (void)pthread_join(saves->thread, NULL);
    (void)pthread_mutex_destroy(&saves->file_lock);
    (void)pthread_mutex_destroy(&saves->lock);
    shared->saves = NULL;
    free(saves->dir);
    free(saves->name);
    free(saves);
}
