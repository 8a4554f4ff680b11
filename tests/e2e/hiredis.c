// A client of hiredis: hiredis_client PORT. Synchronous, pipelined, asynchronous on libevent; RESP3 pushes where hiredis has them (1.0 and later).
// Prints "ok WHAT" a line, "skip WHAT" where this hiredis cannot, and ends with 0 when all was as it must be.
#include <event2/event.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIPELINE = 5000, CALLS = 2000, WAIT_SECONDS = 120 };

static void require(bool good, const char *what)
{
    if (!good) {
        printf("not ok %s\n", what);
        exit(1);
    }
}

static redisContext *connect_to(int port)
{
    redisContext *context = redisConnect("127.0.0.1", port);
    require(context != NULL && context->err == 0, "connect");
    return context;
}

static bool is_string(const redisReply *reply, const void *bytes, size_t len)
{
    return reply != NULL && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) &&
           reply->len == len && memcmp(reply->str, bytes, len) == 0;
}

static void synchronous(redisContext *context)
{
    static const char value[] = "a\0b\r\n";
    redisReply *reply =
        redisCommand(context, "SET %s %b EX %d", "hiredis:binary", value, sizeof(value), 100000);
    require(is_string(reply, "OK", 2), "SET");
    freeReplyObject(reply);
    reply = redisCommand(context, "GET %s", "hiredis:binary");
    require(is_string(reply, value, sizeof(value)), "GET");
    freeReplyObject(reply);
    reply = redisCommand(context, "GET hiredis:none");
    require(reply != NULL && reply->type == REDIS_REPLY_NIL, "GET of nothing");
    freeReplyObject(reply);
    reply = redisCommand(context, "INCR hiredis:binary");
    require(reply != NULL && reply->type == REDIS_REPLY_ERROR &&
                strcmp(reply->str, "ERR value is not an integer or out of range") == 0,
            "INCR of no number");
    freeReplyObject(reply);
    reply = redisCommand(context, "MGET hiredis:binary hiredis:none");
    require(reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                reply->element[1]->type == REDIS_REPLY_NIL,
            "MGET");
    freeReplyObject(reply);
    puts("ok synchronous");
}

static void pipelined(redisContext *context)
{
    for (int i = 0; i < PIPELINE; i++) {
        require(redisAppendCommand(context, "SET hiredis:%d %d", i, i) == REDIS_OK, "append SET");
        require(redisAppendCommand(context, "INCRBY hiredis:%d 1", i) == REDIS_OK, "append INCRBY");
    }
    for (int i = 0; i < PIPELINE; i++) {
        redisReply *reply = NULL;
        require(redisGetReply(context, (void **)&reply) == REDIS_OK && is_string(reply, "OK", 2),
                "reply of SET");
        freeReplyObject(reply);
        require(redisGetReply(context, (void **)&reply) == REDIS_OK && reply->type == REDIS_REPLY_INTEGER &&
                    reply->integer == i + 1,
                "reply of INCRBY");
        freeReplyObject(reply);
    }
    puts("ok pipelined");
}

struct async_run {
    redisAsyncContext *subscriber;
    redisAsyncContext *worker;
    struct event_base *base;
    int answers;
    int messages;
    int gone; // connections that have ended
};

static void on_disconnect(const redisAsyncContext *context, int status)
{
    struct async_run *run = context->data;
    require(status == REDIS_OK, "asynchronous disconnect");
    if (++run->gone == 2)
        event_base_loopexit(run->base, NULL); // the longest wait is a timer that would keep it going
}

static void on_get(redisAsyncContext *context, void *reply, void *arg)
{
    struct async_run *run = context->data;
    char wanted[32];
    int len = snprintf(wanted, sizeof(wanted), "%d", (int)(size_t)arg);
    require(is_string(reply, wanted, (size_t)len), "asynchronous GET");
    if (++run->answers == CALLS)
        redisAsyncCommand(context, NULL, NULL, "PUBLISH hiredis:news done");
}

static void on_message(redisAsyncContext *context, void *answer, void *arg)
{
    (void)arg;
    struct async_run *run = context->data;
    const redisReply *reply = answer;
    if (reply == NULL)
        return;
    require(reply->type == REDIS_REPLY_ARRAY && reply->elements == 3, "message");
    if (is_string(reply->element[0], "subscribe", 9)) {
        for (int i = 0; i < CALLS; i++) {
            redisAsyncCommand(run->worker, NULL, NULL, "SET hiredis:async:%d %d", i, i);
            redisAsyncCommand(run->worker, on_get, (void *)(size_t)i, "GET hiredis:async:%d", i);
        }
        return;
    }
    require(is_string(reply->element[0], "message", 7) && is_string(reply->element[2], "done", 4), "message");
    run->messages++;
    redisAsyncDisconnect(run->worker);
    redisAsyncDisconnect(run->subscriber);
}

static redisAsyncContext *attach(struct async_run *run, int port)
{
    redisAsyncContext *context = redisAsyncConnect("127.0.0.1", port);
    require(context != NULL && context->err == 0, "asynchronous connect");
    context->data = run;
    require(redisLibeventAttach(context, run->base) == REDIS_OK, "attach");
    redisAsyncSetDisconnectCallback(context, on_disconnect);
    return context;
}

static void asynchronous(int port)
{
    struct async_run run = {.base = event_base_new()};
    require(run.base != NULL, "event base");
    run.worker = attach(&run, port);
    run.subscriber = attach(&run, port);
    redisAsyncCommand(run.subscriber, on_message, NULL, "SUBSCRIBE hiredis:news");
    const struct timeval longest = {.tv_sec = WAIT_SECONDS};
    event_base_loopexit(run.base, &longest);
    event_base_dispatch(run.base);
    require(run.answers == CALLS && run.messages == 1 && run.gone == 2,
            "all asynchronous answers and the message");
    event_base_free(run.base);
    puts("ok asynchronous on libevent, with a subscriber");
}

#if HIREDIS_MAJOR >= 1
static void on_push(void *count, void *reply)
{
    const redisReply *push = reply;
    *(int *)count += push->type == REDIS_REPLY_PUSH && is_string(push->element[0], "invalidate", 10);
    freeReplyObject(reply);
}

static void pushes(redisContext *context, int port)
{
    int count = 0;
    context->privdata = &count;
    redisSetPushCallback(context, on_push);
    freeReplyObject(redisCommand(context, "HELLO 3"));
    freeReplyObject(redisCommand(context, "CLIENT TRACKING ON"));
    freeReplyObject(redisCommand(context, "GET hiredis:1"));
    redisContext *other = connect_to(port);
    freeReplyObject(redisCommand(other, "SET hiredis:1 changed"));
    redisFree(other);
    for (int i = 0; i < 100 && count == 0; i++)
        freeReplyObject(redisCommand(context, "PING"));
    require(count == 1, "an invalidation is pushed");
    puts("ok RESP3 pushes");
}
#else
static void pushes(redisContext *context, int port)
{
    (void)context;
    (void)port;
    printf("skip RESP3 pushes: hiredis is %d.%d, they came with 1.0\n", HIREDIS_MAJOR, HIREDIS_MINOR);
}
#endif

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: hiredis_client PORT\n", stderr);
        return 2;
    }
    int port = atoi(argv[1]);
    redisContext *context = connect_to(port);
    synchronous(context);
    pipelined(context);
    asynchronous(port);
    pushes(context, port);
    redisFree(context);
    return 0;
}
