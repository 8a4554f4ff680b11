#include "tests/unit/kvstore/resp_peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 64

static void push(struct resp_session *session, const void *data, size_t len)
{
    struct peer *peer = (struct peer *)session;
    (void)pthread_mutex_lock(&peer->lock);
    resp_message_raw(&peer->pushed, data, len);
    (void)pthread_mutex_unlock(&peer->lock);
}

static void end(struct resp_session *session)
{
    ((struct peer *)session)->killed = true;
}

void peer_open(struct peer *peer)
{
    memset(peer, 0, sizeof *peer);
    (void)snprintf(peer->session.peer, sizeof peer->session.peer, "127.0.0.1:4000");
    peer->session.push = push;
    peer->session.kill = end;
    (void)pthread_mutex_init(&peer->lock, NULL);
    resp_reply_init(&peer->reply, 64 * 1024 * 1024);
    resp_session_init(&peer->session, &kit.shared);
}

void peer_close(struct peer *peer)
{
    resp_session_deinit(&peer->session);
    resp_reply_deinit(&peer->reply);
    resp_message_free(&peer->pushed);
    (void)pthread_mutex_destroy(&peer->lock);
    free(peer->text);
}

static void take(struct peer *peer)
{
    size_t n = resp_reply_length(&peer->reply), at = 0;
    (void)pthread_mutex_lock(&peer->lock);
    free(peer->text);
    peer->text = calloc(1, n + peer->pushed.len + 1);
    assert_non_null(peer->text);
    for (struct iovec piece; resp_out_pieces(&peer->reply.out, &piece, 1) == 1; at += piece.iov_len) {
        memcpy(peer->text + at, piece.iov_base, piece.iov_len);
        resp_out_drop(&peer->reply.out, piece.iov_len);
    }
    if (peer->pushed.len != 0)
        memcpy(peer->text + n, peer->pushed.data, peer->pushed.len);
    resp_message_free(&peer->pushed);
    (void)pthread_mutex_unlock(&peer->lock);
}

// As a loop does it: first without waiting, then as a worker.
const char *peer_run(struct peer *peer, const char *line)
{
    struct resp_arg args[WORDS_MAX];
    size_t argc = 0;
    for (const char *at = line; *at != '\0' && argc < WORDS_MAX;) {
        size_t len = strcspn(at, " ");
        args[argc++] = (struct resp_arg){(const uint8_t *)at, len};
        at += len;
        at += strspn(at, " ");
    }
    if (resp_command_run(&peer->session, &peer->reply, args, argc, false) == RESP_RUN_AGAIN)
        assert_int_equal(resp_command_run(&peer->session, &peer->reply, args, argc, true), RESP_RUN_DONE);
    take(peer);
    return peer->text;
}

const char *peer_pushed(struct peer *peer)
{
    take(peer);
    return peer->text;
}
