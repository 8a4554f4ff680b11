#include "tests/unit/kvstore/resp_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/db.h"

struct resp_kit kit;

static void on_change(void *arg, const void *key, size_t len)
{
    (void)arg;
    (void)key;
    assert_in_range(len, 1, KV_KEY_MAX);
    kit.changes++;
}

int resp_kit_setup(void **state)
{
    struct error e;
    (void)state;
    memset(&kit, 0, sizeof kit);
    kit.store = fake_store_open();
    fake.now_ms = NOW;
    kit.shared.store = kit.store;
    kit.shared.fsync = KV_FSYNC_ALWAYS;
    kit.shared.max_clients = 10;
    kit.shared.on_change = kit.on_change = on_change;
    kit.shared.now_ms = fake_store_now;
    assert_true(resp_shared_init(&kit.shared));
    assert_true(resp_db_open(&kit.shared, &e));
    (void)snprintf(kit.session.peer, sizeof kit.session.peer, "/s:0");
    (void)snprintf(kit.session.local, sizeof kit.session.local, "/s:0");
    resp_session_init(&kit.session, &kit.shared);
    resp_parser_init(&kit.parser, NULL);
    resp_reply_init(&kit.reply, 64 * 1024 * 1024);
    return 0;
}

int resp_kit_teardown(void **state)
{
    (void)state;
    free(kit.text);
    resp_reply_deinit(&kit.reply);
    resp_parser_deinit(&kit.parser);
    resp_buffer_deinit(&kit.query);
    resp_session_deinit(&kit.session);
    resp_db_close(&kit.shared);
    resp_shared_deinit(&kit.shared);
    fake_store_close(kit.store);
    return 0;
}

const char *resp_kit_run_bytes(const char *bytes, size_t len)
{
    struct resp_batch batch = {&kit.session, &kit.query, &kit.parser, &kit.reply};
    assert_true(resp_buffer_add(&kit.query, bytes, len, 0));
    while (!kit.session.close_after && resp_reply_ok(&kit.reply) &&
           resp_parse(&kit.parser, resp_buffer_data(&kit.query), resp_buffer_length(&kit.query)) ==
               RESP_COMMAND)
        resp_batch_run(&batch);
    resp_buffer_compact(&kit.query);
    size_t n = resp_reply_length(&kit.reply);
    free(kit.text);
    kit.text = calloc(1, n + 1);
    size_t at = 0;
    for (struct iovec piece; resp_out_pieces(&kit.reply.out, &piece, 1) == 1; at += piece.iov_len) {
        memcpy(kit.text + at, piece.iov_base, piece.iov_len);
        resp_out_drop(&kit.reply.out, piece.iov_len);
    }
    return kit.text;
}

const char *resp_kit_run(const char *line)
{
    char with_end[1024];
    int n = snprintf(with_end, sizeof with_end, "%s\r\n", line);
    return resp_kit_run_bytes(with_end, (size_t)n);
}
