#include "kvstore/resp/slowlog.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"

#define ARGUMENTS_MOST 32u  // the last says how many there are besides
#define BYTES_MOST     128u // of an argument
#define DEFAULT_US     10000
#define DEFAULT_MOST   128

struct entry {
    struct entry *newer, *older;
    uint64_t id, unix_s, us;
    char peer[NET_ADDR_TEXT];
    char *name; // of the client; NULL: none
    size_t argc;
    struct text {
        uint8_t *data;
        size_t len;
    } args[ARGUMENTS_MOST];
};

struct resp_slowlog {
    _Atomic int64_t slower_than_us;
    _Atomic uint64_t most;
    pthread_mutex_t lock; // a leaf
    struct entry *newest, *oldest;
    uint64_t count, next_id;
};

struct resp_slowlog *resp_slowlog_create(void)
{
    struct resp_slowlog *log = calloc(1, sizeof *log);
    if (log == NULL || pthread_mutex_init(&log->lock, NULL) != 0) {
        free(log);
        return NULL;
    }
    atomic_store(&log->slower_than_us, DEFAULT_US);
    atomic_store(&log->most, DEFAULT_MOST);
    return log;
}

static void free_entry(struct entry *entry)
{
    for (size_t i = 0; i < entry->argc; i++)
        free(entry->args[i].data);
    free(entry->name);
    free(entry);
}

// Under the lock.
static void drop_beyond(struct resp_slowlog *log, uint64_t most)
{
    while (log->count > most) {
        struct entry *last = log->oldest;
        log->oldest = last->newer;
        if (log->oldest != NULL)
            log->oldest->older = NULL;
        else
            log->newest = NULL;
        log->count--;
        free_entry(last);
    }
}

void resp_slowlog_destroy(struct resp_slowlog **log)
{
    struct resp_slowlog *l = *log;
    *log = NULL;
    if (l == NULL)
        return;
    drop_beyond(l, 0);
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}

// ---- what is secret

static bool is_secret_parameter(const struct resp_arg *name)
{
    return resp_arg_is(name, "requirepass") || resp_arg_is(name, "masterauth") ||
           resp_arg_is(name, "masteruser") || resp_arg_is(name, "tls-key-file-pass") ||
           resp_arg_is(name, "tls-client-key-file-pass");
}

static bool follows(const struct resp_call *call, size_t position, size_t after, const char *word)
{
    return position > after && resp_arg_is(&call->args[position - after], word);
}

bool resp_argument_is_secret(const struct resp_call *call, size_t position)
{
    const char *name = call->command->name;
    if (position == 0)
        return false;
    if (call->parent != NULL) {
        if (strcmp(call->parent->name, "config") == 0 && strcmp(name, "set") == 0)
            return position >= 3 && position % 2 == 1 && is_secret_parameter(&call->args[position - 1]);
        return strcmp(call->parent->name, "acl") == 0 && strcmp(name, "setuser") == 0 && position >= 2;
    }
    if (strcmp(name, "auth") == 0)
        return true;
    if (strcmp(name, "hello") == 0)
        return follows(call, position, 1, "auth") || follows(call, position, 2, "auth");
    if (strcmp(name, "migrate") == 0)
        return follows(call, position, 1, "auth") || follows(call, position, 1, "auth2") ||
               follows(call, position, 2, "auth2");
    return false;
}

// ---- recording

static bool set_text(struct text *text, const void *data, size_t len)
{
    text->data = malloc(len + 1);
    text->len = len;
    if (text->data != NULL && len != 0)
        memcpy(text->data, data, len);
    return text->data != NULL;
}

static bool set_argument(struct text *text, const struct resp_arg *arg)
{
    uint8_t cut[BYTES_MOST + 48];
    if (arg->len <= BYTES_MOST)
        return set_text(text, arg->data, arg->len);
    memcpy(cut, arg->data, BYTES_MOST);
    int n = snprintf((char *)cut + BYTES_MOST, sizeof cut - BYTES_MOST, "... (%zu more bytes)",
                     arg->len - BYTES_MOST);
    return set_text(text, cut, BYTES_MOST + (size_t)n);
}

static bool copy_arguments(struct entry *entry, const struct resp_call *call)
{
    size_t shown = call->argc <= ARGUMENTS_MOST ? call->argc : ARGUMENTS_MOST - 1;
    for (size_t i = 0; i < shown; i++, entry->argc++) {
        bool good = resp_argument_is_secret(call, i) ? set_text(&entry->args[i], "(redacted)", 10)
                                                     : set_argument(&entry->args[i], &call->args[i]);
        if (!good)
            return false;
    }
    if (shown == call->argc)
        return true;
    char more[48];
    int n = snprintf(more, sizeof more, "... (%zu more arguments)", call->argc - shown);
    entry->argc++;
    return set_text(&entry->args[shown], more, (size_t)n);
}

static struct entry *make_entry(const struct resp_call *call, uint64_t us)
{
    const struct resp_session *session = call->session;
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return NULL;
    entry->us = us;
    entry->unix_s = resp_now_ms(session->shared) / 1000;
    (void)snprintf(entry->peer, sizeof entry->peer, "%s", session->peer);
    // Only the session's owner changes the name, and that is who runs the command.
    bool good = session->name == NULL || (entry->name = strdup(session->name)) != NULL;
    if (good && copy_arguments(entry, call))
        return entry;
    free_entry(entry);
    return NULL;
}

void resp_slowlog_note(const struct resp_call *call, uint64_t us)
{
    struct resp_slowlog *log = call->session->shared->slowlog;
    int64_t slower_than = atomic_load_explicit(&log->slower_than_us, memory_order_relaxed);
    if (slower_than < 0 || us < (uint64_t)slower_than || (call->command->flags & RESP_CMD_SKIP_SLOWLOG) != 0)
        return;
    struct entry *entry = make_entry(call, us);
    if (entry == NULL)
        return;
    (void)pthread_mutex_lock(&log->lock);
    entry->id = log->next_id++;
    entry->older = log->newest;
    if (log->newest != NULL)
        log->newest->newer = entry;
    else
        log->oldest = entry;
    log->newest = entry;
    log->count++;
    drop_beyond(log, atomic_load(&log->most));
    (void)pthread_mutex_unlock(&log->lock);
}

// ---- settings and replies

void resp_slowlog_set(struct resp_shared *shared, int64_t slower_than_us, uint64_t most)
{
    struct resp_slowlog *log = shared->slowlog;
    atomic_store(&log->slower_than_us, slower_than_us);
    atomic_store(&log->most, most); // a log that is too long is cut by the next entry, as Redis does it
}

int64_t resp_slowlog_slower_than(const struct resp_shared *shared)
{
    return atomic_load(&shared->slowlog->slower_than_us);
}

uint64_t resp_slowlog_most(const struct resp_shared *shared)
{
    return atomic_load(&shared->slowlog->most);
}

uint64_t resp_slowlog_length(const struct resp_shared *shared)
{
    struct resp_slowlog *log = shared->slowlog;
    (void)pthread_mutex_lock(&log->lock);
    uint64_t count = log->count;
    (void)pthread_mutex_unlock(&log->lock);
    return count;
}

void resp_slowlog_clear(struct resp_shared *shared)
{
    struct resp_slowlog *log = shared->slowlog;
    (void)pthread_mutex_lock(&log->lock);
    drop_beyond(log, 0);
    (void)pthread_mutex_unlock(&log->lock);
}

static void reply_entry(struct resp_reply *reply, const struct entry *entry)
{
    resp_array(reply, 6);
    resp_integer(reply, (int64_t)entry->id);
    resp_integer(reply, (int64_t)entry->unix_s);
    resp_integer(reply, (int64_t)entry->us);
    resp_array(reply, entry->argc);
    for (size_t i = 0; i < entry->argc; i++)
        resp_bulk(reply, entry->args[i].data, entry->args[i].len);
    resp_bulk_text(reply, entry->peer);
    resp_bulk_text(reply, entry->name != NULL ? entry->name : "");
}

void resp_slowlog_reply(const struct resp_shared *shared, struct resp_reply *reply, uint64_t most)
{
    struct resp_slowlog *log = shared->slowlog;
    (void)pthread_mutex_lock(&log->lock);
    uint64_t count = most < log->count ? most : log->count;
    resp_array(reply, count);
    for (const struct entry *entry = log->newest; count != 0; entry = entry->older, count--)
        reply_entry(reply, entry);
    (void)pthread_mutex_unlock(&log->lock);
}
