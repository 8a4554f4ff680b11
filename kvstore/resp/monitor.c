#include "kvstore/resp/monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/message.h"
#include "kvstore/resp/store.h"
#include "kvstore/resp/transactions.h"

struct resp_monitors {
    pthread_mutex_t lock;           // guards all below
    struct resp_session **sessions; // owned list
    size_t cap, count;
};

struct resp_monitors *resp_monitors_create(void)
{
    struct resp_monitors *monitors = calloc(1, sizeof *monitors);
    if (monitors != NULL)
        (void)pthread_mutex_init(&monitors->lock, NULL);
    return monitors;
}

void resp_monitors_destroy(struct resp_monitors **monitors)
{
    if (*monitors == NULL)
        return;
    free((*monitors)->sessions);
    (void)pthread_mutex_destroy(&(*monitors)->lock);
    free(*monitors);
    *monitors = NULL;
}

static bool add(struct resp_monitors *m, struct resp_session *session)
{
    if (m->count == m->cap) {
        struct resp_session **grown = realloc(m->sessions, (m->cap * 2 + 4) * sizeof(struct resp_session *));
        if (grown == NULL)
            return false;
        m->sessions = grown;
        m->cap = m->cap * 2 + 4;
    }
    m->sessions[m->count++] = session;
    atomic_store(&session->shared->monitoring, (unsigned)m->count);
    return true;
}

bool resp_monitor_start(struct resp_session *session)
{
    struct resp_monitors *m = session->shared->monitors;
    (void)pthread_mutex_lock(&m->lock);
    bool added = add(m, session);
    atomic_store(&session->monitor, added);
    (void)pthread_mutex_unlock(&m->lock);
    return added;
}

void resp_monitor_stop(struct resp_session *session)
{
    struct resp_monitors *m = session->shared->monitors;
    if (!atomic_load(&session->monitor))
        return;
    (void)pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->count; i++) {
        if (m->sessions[i] != session)
            continue;
        m->sessions[i] = m->sessions[--m->count];
        break;
    }
    atomic_store(&session->shared->monitoring, (unsigned)m->count);
    atomic_store(&session->monitor, false);
    (void)pthread_mutex_unlock(&m->lock);
}

// ---- lines

static void add_byte(struct resp_message *line, uint8_t byte)
{
    static const char named[] = "\"\\\n\r\t\a\b", letters[] = "\"\\nrtab";
    const char *at = byte != 0 ? strchr(named, byte) : NULL;
    char text[8];
    int len;
    if (at != NULL)
        len = snprintf(text, sizeof text, "\\%c", letters[at - named]);
    else if (byte >= ' ' && byte <= '~')
        len = snprintf(text, sizeof text, "%c", byte);
    else
        len = snprintf(text, sizeof text, "\\x%02x", byte);
    resp_message_raw(line, text, (size_t)len);
}

static void add_word(struct resp_message *line, const struct resp_arg *word)
{
    resp_message_raw(line, " \"", 2);
    size_t i = 0;
    for (; i < word->len && line->len < RESP_MONITOR_LINE; i++)
        add_byte(line, word->data[i]);
    resp_message_raw(line, "\"", 1);
    if (i == word->len)
        return;
    char more[64];
    int len = snprintf(more, sizeof more, "... (%zu more bytes)", word->len - i);
    resp_message_raw(line, more, (size_t)len);
}

// How many words from `at` on are passwords.
static size_t secret_words(const struct resp_call *call, size_t at)
{
    if (call->command->handler == resp_cmd_auth)
        return call->argc - at;
    bool after_auth =
        call->command->handler == resp_cmd_hello && at > 1 && resp_arg_is(&call->args[at - 1], "auth");
    return !after_auth ? 0 : call->argc - at < 2 ? call->argc - at : 2;
}

static void add_words(struct resp_message *line, const struct resp_call *call)
{
    static const struct resp_arg hidden = {(const uint8_t *)"(redacted)", 10};
    add_word(line, &call->args[0]);
    for (size_t i = 1; i < call->argc;) {
        size_t secret = secret_words(call, i);
        for (size_t n = 0; n < secret; n++, i++)
            add_word(line, &hidden);
        if (secret != 0)
            continue;
        if (line->len >= RESP_MONITOR_LINE) {
            char more[64];
            int len = snprintf(more, sizeof more, " ... (%zu more arguments)", call->argc - i);
            resp_message_raw(line, more, (size_t)len);
            return;
        }
        add_word(line, &call->args[i++]);
    }
}

static void add_head(struct resp_message *line, const struct resp_call *call)
{
    const struct resp_session *session = call->session;
    char head[NET_ADDR_TEXT + 96];
    uint64_t now_ms = resp_now_ms(session->shared), us = now_ms % 1000 * 1000;
    struct timespec ts;
    if (session->shared->now_ms == NULL && clock_gettime(CLOCK_REALTIME, &ts) == 0) {
        now_ms = (uint64_t)ts.tv_sec * 1000;
        us = (uint64_t)ts.tv_nsec / 1000;
    }
    bool local = session->peer[0] == '/'; // "/path:0"
    int peer_len = (int)strlen(session->peer) - (local ? 2 : 0);
    int len = snprintf(head, sizeof head, "+%" PRIu64 ".%06" PRIu64 " [%u %s%.*s]", now_ms / 1000, us,
                       session->db, local ? "unix:" : "", peer_len > 0 ? peer_len : 0, session->peer);
    resp_message_raw(line, head, (size_t)len);
}

void resp_monitor_show(const struct resp_call *call)
{
    struct resp_monitors *m = call->session->shared->monitors;
    if (atomic_load_explicit(&call->session->shared->monitoring, memory_order_relaxed) == 0 ||
        (call->command->flags & (RESP_CMD_ADMIN | RESP_CMD_SKIP_MONITOR)) != 0)
        return;
    struct resp_message line = {0};
    add_head(&line, call);
    add_words(&line, call);
    resp_message_raw(&line, "\r\n", 2);
    (void)pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->count; i++)
        resp_message_push(&line, m->sessions[i]);
    (void)pthread_mutex_unlock(&m->lock);
    resp_message_free(&line);
}

void resp_cmd_monitor(struct resp_call *call)
{
    if (resp_transaction_is_running(call->session))
        resp_error(call->reply, "ERR MONITOR isn't allowed for DENY BLOCKING client");
    else if (atomic_load(&call->session->monitor))
        return; // Redis says nothing to the second one
    else if (resp_monitor_start(call->session))
        resp_status(call->reply, "OK");
    else
        resp_store_error(call, KV_NO_MEMORY);
}
