// A store that a running key server has open: its control socket speaks the Redis protocol.
//
// Writes are pipelined: they go out together at the flush, and the server syncs once for many of them.
// Answers come in the order of the commands, so that each outcome is known even when the connection breaks in
// the middle.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#include <hiredis/hiredis.h>

#include "certs/store_parts.h"

#define CONNECT_TIMEOUT_S 5
#define ANSWER_TIMEOUT_S  60 // a flush of many records on a slow disk
#define SCAN_BATCH        "512"

struct socket {
    redisContext *redis;
    struct store_queue queue;
    bool failed;
    bool watching; // the writes that are queued now go into a transaction
    bool multi;    // which has been begun
};

// "DIR/control.sock"; by way of /proc where that is longer than a socket address can be. *fd is then the
// folder.
static bool socket_path(const char *dir, char *path, size_t len, int *fd)
{
    *fd = -1;
    int n = snprintf(path, len, "%s/" STORE_SOCKET, dir);
    if (n > 0 && (size_t)n < len)
        return true;
    *fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    n = snprintf(path, len, "/proc/self/fd/%d/" STORE_SOCKET, *fd);
    return *fd >= 0 && n > 0 && (size_t)n < len;
}

enum store_open_result store_socket_open(const char *dir, void **self, struct error *e)
{
    struct sockaddr_un limit;
    char path[sizeof limit.sun_path];
    int fd;
    bool known = socket_path(dir, path, sizeof path, &fd);
    struct socket *s = known ? calloc(1, sizeof *s) : NULL;
    if (s != NULL)
        s->redis = redisConnectUnixWithTimeout(path, (struct timeval){.tv_sec = CONNECT_TIMEOUT_S});
    int saved = errno;
    if (fd >= 0)
        (void)close(fd);
    if (s == NULL || s->redis == NULL) {
        free(s);
        error_set(e, "%s/" STORE_SOCKET ": out of memory", dir);
        return STORE_OPEN_FAILED;
    }
    if (s->redis->err == 0) {
        (void)redisSetTimeout(s->redis, (struct timeval){.tv_sec = ANSWER_TIMEOUT_S});
        *self = s;
        return STORE_OPENED;
    }
    bool nobody = s->redis->err == REDIS_ERR_IO && (saved == ENOENT || saved == ECONNREFUSED);
    error_set(e, "%s/" STORE_SOCKET ": connect to the key server: %s", dir, s->redis->errstr);
    redisFree(s->redis);
    free(s);
    return nobody ? STORE_BUSY : STORE_OPEN_FAILED;
}

static void socket_close(void *self)
{
    struct socket *s = self;
    redisFree(s->redis);
    store_queue_free(&s->queue);
    free(s);
}

static void explain_break(const struct socket *s, struct error *e)
{
    error_set(e, "the connection to the key server broke: %s",
              s->redis->err == REDIS_ERR_EOF ? "it closed the connection"
              : s->redis->errstr[0] != '\0'  ? s->redis->errstr
                                             : "no answer");
}

// The next answer; NULL with *e set when it is an error or there is none. The server's error text is bounded
// and printed as it came: it speaks of commands, never of values.
static redisReply *next_reply(struct socket *s, struct error *e)
{
    void *any = NULL;
    if (s->redis->err != 0 || redisGetReply(s->redis, &any) != REDIS_OK || any == NULL) {
        explain_break(s, e);
        return NULL;
    }
    redisReply *reply = any;
    if (reply->type != REDIS_REPLY_ERROR)
        return reply;
    error_set(e, "the key server refused: %.*s", (int)(reply->len < 300 ? reply->len : 300), reply->str);
    freeReplyObject(reply);
    return NULL;
}

static bool append(struct socket *s, int count, const char **words, const size_t *lens)
{
    return s->redis->err == 0 && redisAppendCommandArgv(s->redis, count, words, lens) == REDIS_OK;
}

// ---- reading

static enum store_status take_value(redisReply *reply, uint8_t **value, size_t *len, struct error *e)
{
    if (reply->type == REDIS_REPLY_NIL)
        return STORE_NOT_FOUND;
    if (reply->type != REDIS_REPLY_STRING) {
        error_set(e, "the key server gave an answer of an unexpected type");
        return STORE_FAILED;
    }
    *value = malloc(reply->len + 1);
    if (*value == NULL) {
        error_set(e, "out of memory");
        return STORE_FAILED;
    }
    memcpy(*value, reply->str, reply->len);
    *len = reply->len;
    explicit_bzero(reply->str, reply->len);
    return STORE_OK;
}

static enum store_status socket_get(void *self, const char *key, size_t key_len, uint8_t **value, size_t *len,
                                    uint64_t *expire_ms, struct error *e)
{
    struct socket *s = self;
    const char *get[] = {"GET", key}, *when[] = {"PEXPIRETIME", key};
    const size_t get_len[] = {3, key_len}, when_len[] = {11, key_len};
    if (!append(s, 2, get, get_len) || (expire_ms != NULL && !append(s, 2, when, when_len))) {
        explain_break(s, e);
        return STORE_FAILED;
    }
    redisReply *reply = next_reply(s, e);
    enum store_status status = reply != NULL ? take_value(reply, value, len, e) : STORE_FAILED;
    if (reply != NULL)
        freeReplyObject(reply);
    if (expire_ms != NULL) {
        reply = next_reply(s, e);
        // -1: no expiry; -2: gone between the two commands.
        *expire_ms = reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer > 0
                         ? (uint64_t)reply->integer
                         : 0;
        if (reply != NULL)
            freeReplyObject(reply);
        else if (status == STORE_OK)
            status = STORE_FAILED;
    }
    if (status != STORE_OK)
        store_value_free(value, *len);
    return status;
}

static bool scan_reply_is_whole(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           reply->element[0]->type == REDIS_REPLY_STRING && reply->element[0]->len < 24 &&
           reply->element[1]->type == REDIS_REPLY_ARRAY;
}

static bool socket_scan(void *self, store_scan_fn fn, void *arg, struct error *e)
{
    struct socket *s = self;
    char cursor[24] = "0";
    bool more = true;
    while (more) {
        const char *scan[] = {"SCAN", cursor, "COUNT", SCAN_BATCH};
        const size_t lens[] = {4, strlen(cursor), 5, strlen(SCAN_BATCH)};
        bool sent = append(s, 4, scan, lens);
        if (!sent)
            explain_break(s, e);
        redisReply *reply = sent ? next_reply(s, e) : NULL;
        if (reply == NULL)
            return false;
        if (!scan_reply_is_whole(reply)) {
            freeReplyObject(reply);
            error_set(e, "the key server gave an answer of an unexpected type");
            return false;
        }
        const redisReply *keys = reply->element[1];
        for (size_t i = 0; i < keys->elements && more; i++)
            if (keys->element[i]->type == REDIS_REPLY_STRING)
                more = fn(arg, keys->element[i]->str, keys->element[i]->len);
        (void)snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
        more = more && strcmp(cursor, "0") != 0;
        freeReplyObject(reply);
    }
    return true;
}

// INFO sealing has a line "master_key:ID" for each.
static bool socket_accepts_key(void *self, const char *id, struct error *e)
{
    struct socket *s = self;
    char line[40];
    bool sent = append(s, 2, (const char *[]){"INFO", "sealing"}, (const size_t[]){4, 7});
    if (!sent)
        explain_break(s, e);
    redisReply *reply = sent ? next_reply(s, e) : NULL;
    if (reply == NULL)
        return false;
    (void)snprintf(line, sizeof line, "master_key:%s\r\n", id);
    bool accepted = reply->type == REDIS_REPLY_STRING && strstr(reply->str, line) != NULL;
    if (!accepted)
        error_set(e,
                  "the key server that has the store does not open what master key %s seals: give it as "
                  "new-master-key and send SIGHUP, then try again",
                  id);
    freeReplyObject(reply);
    return accepted;
}

// ---- writing

// A transaction begins with its first write, since reads come before.
static bool begin_transaction(struct socket *s)
{
    if (!s->watching || s->multi)
        return true;
    s->multi = append(s, 1, (const char *[]){"MULTI"}, (const size_t[]){5});
    return s->multi;
}

static void queue_command(struct socket *s, int count, const char **words, const size_t *lens,
                          struct error *outcome)
{
    if (!begin_transaction(s) || !append(s, count, words, lens)) {
        explain_break(s, outcome);
        s->failed = true;
    } else if (!store_queue_add(&s->queue, outcome)) {
        // Its answer will come and belong to nobody: this connection can no longer be used.
        (void)snprintf(s->redis->errstr, sizeof s->redis->errstr, "out of memory");
        s->redis->err = REDIS_ERR_OOM;
        s->failed = true;
    }
}

static void socket_put(void *self, const char *key, size_t key_len, const uint8_t *value, size_t len,
                       uint64_t expire_ms, struct error *outcome)
{
    char when[24];
    int when_len = snprintf(when, sizeof when, "%" PRIu64, expire_ms);
    const char *words[] = {"SET", key, (const char *)value, "PXAT", when};
    const size_t lens[] = {3, key_len, len, 4, (size_t)when_len};
    queue_command(self, expire_ms != 0 ? 5 : 3, words, lens, outcome);
}

static void socket_remove(void *self, const char *key, size_t key_len, struct error *outcome)
{
    const char *words[] = {"DEL", key};
    const size_t lens[] = {3, key_len};
    queue_command(self, 2, words, lens, outcome);
}

static void socket_expire(void *self, const char *key, size_t key_len, uint64_t expire_ms,
                          struct error *outcome)
{
    char when[24];
    int when_len = snprintf(when, sizeof when, "%" PRIu64, expire_ms);
    const char *words[] = {expire_ms != 0 ? "PEXPIREAT" : "PERSIST", key, when};
    const size_t lens[] = {strlen(words[0]), key_len, (size_t)when_len};
    queue_command(self, expire_ms != 0 ? 3 : 2, words, lens, outcome);
}

static bool socket_flush(void *self)
{
    struct socket *s = self;
    bool ok = !s->failed;
    for (size_t i = 0; i < s->queue.count; i++) {
        struct error why = {""};
        redisReply *reply = next_reply(s, &why);
        if (reply != NULL) {
            freeReplyObject(reply);
            continue;
        }
        ok = false;
        error_set(s->queue.outcomes[i], "%s", why.text);
    }
    s->queue.count = 0;
    s->failed = false;
    return ok;
}

// ---- transactions

static bool take_reply(struct socket *s, struct error *e)
{
    redisReply *reply = next_reply(s, e);
    if (reply == NULL)
        return false;
    freeReplyObject(reply);
    return true;
}

static bool socket_watch(void *self, const char *key, size_t key_len, struct error *e)
{
    struct socket *s = self;
    if (!append(s, 2, (const char *[]){"WATCH", key}, (const size_t[]){5, key_len})) {
        explain_break(s, e);
        return false;
    }
    s->watching = true;
    return take_reply(s, e);
}

// Gives each write of a transaction its outcome from the answer to EXEC; NULL: none came, for the reason in *why.
static bool settle(struct socket *s, const redisReply *reply, const struct error *why)
{
    bool whole = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == s->queue.count,
         ok = whole;
    for (size_t i = 0; i < s->queue.count; i++) {
        struct error *outcome = s->queue.outcomes[i];
        const redisReply *one = whole ? reply->element[i] : NULL;
        if (one != NULL && one->type != REDIS_REPLY_ERROR)
            continue;
        ok = false;
        if (outcome->text[0] != '\0')
            continue; // the command was refused as it was queued, which says more
        if (one != NULL)
            error_set(outcome, "the key server refused: %.*s", (int)(one->len < 300 ? one->len : 300),
                      one->str);
        else
            error_set(outcome, "%s",
                      reply == NULL ? why->text : "the key server gave an answer of an unexpected type");
    }
    return ok;
}

static bool socket_commit(void *self, bool *changed)
{
    struct socket *s = self;
    struct error why = {""};
    const char *end = s->multi ? "EXEC" : "UNWATCH";
    bool ok = !s->failed && append(s, 1, &end, (const size_t[]){strlen(end)});
    if (s->multi)
        ok = take_reply(s, &why) && ok;
    for (size_t i = 0; i < s->queue.count; i++) // +QUEUED
        ok = take_reply(s, s->queue.outcomes[i]) && ok;
    redisReply *reply = next_reply(s, &why);
    *changed = ok && reply != NULL && s->multi && reply->type == REDIS_REPLY_NIL;
    if (s->multi && !*changed)
        ok = settle(s, reply, &why) && ok;
    ok = ok && reply != NULL;
    if (reply != NULL)
        freeReplyObject(reply);
    s->queue.count = 0;
    s->failed = s->watching = s->multi = false;
    return ok;
}

const struct store_calls store_socket_calls = {
    .close = socket_close,
    .get = socket_get,
    .put = socket_put,
    .remove = socket_remove,
    .expire = socket_expire,
    .flush = socket_flush,
    .watch = socket_watch,
    .commit = socket_commit,
    .accepts_key = socket_accepts_key,
    .scan = socket_scan,
};
