// Commands of every kind, with any arguments, on a fake store. Oracle: a command that first runs on a loop, finds a value to be on disk, and runs again on a worker, replies the
// same bytes and leaves the same keys as one that may wait from the start (kvstore/resp/command.h, the rule of handlers). Each reply is well-formed and is one.
//
// Input: inline commands, a line each.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kvstore/resp/command.h"
#include "tests/unit/kvstore/fake_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define LINES_MOST 40u

// Chance, time, the process and other threads have a say in what these answer.
static const char *const left_out[] = {"acl",       "bgsave",   "client",   "config",    "debug", "info",
                                       "latency",   "memory",   "monitor",  "object",    "psync", "quit",
                                       "randomkey", "replconf", "reset",    "replicaof", "role",  "save",
                                       "scan",      "shutdown", "slaveof",  "slowlog",   "sync",  "time",
                                       "wait",      "hello",    "lastsave", "cluster"};

static bool is_left_out(const struct resp_arg *name)
{
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
        if (name->len == strlen(left_out[i]) &&
            strncasecmp((const char *)name->data, left_out[i], name->len) == 0)
            return true;
    return false;
}

static unsigned asked; // which keys are on disk changes with each question

static bool on_disk(const void *key, size_t key_len)
{
    const uint8_t *bytes = key;
    unsigned hash = ++asked * 2654435761u;
    for (size_t i = 0; i < key_len; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return (hash >> 13 & 1) != 0;
}

static void push(struct resp_session *session, const void *data, size_t len)
{
    (void)session;
    (void)data;
    (void)len;
}

struct run {
    struct resp_out out;
    uint64_t keys;
};

static void run_lines(const uint8_t *data, size_t len, bool loop, struct run *run)
{
    struct resp_shared shared = {0};
    struct resp_session session = {.push = push};
    struct resp_parser parser;
    struct resp_reply reply;
    shared.store = fake_store_open();
    fake.now_ms = 1700000000000u;
    fake.on_disk = loop ? on_disk : NULL;
    shared.fsync = KV_FSYNC_INTERVAL;
    shared.now_ms = fake_store_now;
    shared.limits = (struct resp_limits){.max_args = 64, .max_bulk_bytes = 4096, .max_inline_bytes = 1024};
    if (!resp_shared_init(&shared))
        abort();
    resp_session_init(&session, &shared);
    resp_parser_init(&parser, &shared.limits);
    resp_reply_init(&reply, 1 << 20);
    asked = 0;
    for (unsigned n = 0; n < LINES_MOST && resp_parse(&parser, data, len) == RESP_COMMAND; n++) {
        if (parser.argc != 0 && !is_left_out(&parser.args[0])) {
            size_t before = reply.out.length;
            enum resp_run ran = resp_command_run(&session, &reply, parser.args, parser.argc, !loop);
            if (ran == RESP_RUN_AGAIN && reply.out.length != before)
                abort(); // what ran in vain has left something
            if (ran == RESP_RUN_AGAIN &&
                resp_command_run(&session, &reply, parser.args, parser.argc, true) != RESP_RUN_DONE)
                abort();
        }
        data += parser.consumed;
        len -= parser.consumed;
    }
    struct kv_stats stats;
    kv_get_stats(shared.store, &stats);
    run->keys = stats.keys;
    run->out = reply.out;
    resp_parser_deinit(&parser);
    resp_session_deinit(&session);
    struct kv_store *store = shared.store;
    resp_shared_deinit(&shared);
    fake_store_close(store);
}

static void must_be_the_same(struct run *a, struct run *b)
{
    struct iovec x, y;
    if (a->keys != b->keys || a->out.length != b->out.length)
        abort();
    while (resp_out_pieces(&a->out, &x, 1) == 1 && resp_out_pieces(&b->out, &y, 1) == 1) {
        size_t n = x.iov_len < y.iov_len ? x.iov_len : y.iov_len;
        if (memcmp(x.iov_base, y.iov_base, n) != 0)
            abort();
        resp_out_drop(&a->out, n);
        resp_out_drop(&b->out, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct run worker, loop;
    run_lines(data, len, false, &worker);
    run_lines(data, len, true, &loop);
    must_be_the_same(&worker, &loop);
    resp_out_clear(&worker.out);
    resp_out_clear(&loop.out);
    return 0;
}
