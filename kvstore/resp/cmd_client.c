// CLIENT: what is known of connections.
#include <inttypes.h>
#include <string.h>

#include <event2/buffer.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/pubsub.h"
#include "kvstore/resp/tracking.h"
#include "kvstore/resp/store.h"

#define FILTER_IDS_MAX 1000 // CLIENT LIST ID: compared with each session under the lock

// Names stand in the lines of CLIENT LIST: printable ASCII without blanks.
static bool clean_name(const struct resp_arg *name)
{
    for (size_t i = 0; i < name->len; i++) {
        if (name->data[i] < '!' || name->data[i] > '~')
            return false;
    }
    return true;
}

static bool set_text(struct resp_call *call, char **field, const struct resp_arg *text)
{
    if (resp_session_set_text(call->session, field, text->data, text->len))
        return true;
    resp_store_error(call, KV_NO_MEMORY);
    return false;
}

bool resp_client_set_name(struct resp_call *call, const struct resp_arg *name)
{
    if (clean_name(name))
        return set_text(call, &call->session->name, name);
    resp_error(call->reply, "ERR Client names cannot contain spaces, newlines or special characters.");
    return false;
}

void resp_cmd_client_setname(struct resp_call *call)
{
    if (resp_client_set_name(call, &call->args[2]))
        resp_status(call->reply, "OK");
}

void resp_cmd_client_getname(struct resp_call *call)
{
    if (call->session->name != NULL)
        resp_bulk_text(call->reply, call->session->name);
    else
        resp_null(call->reply);
}

void resp_cmd_client_setinfo(struct resp_call *call)
{
    const struct resp_arg *option = &call->args[2];
    bool is_name = resp_arg_is(option, "lib-name");
    if (!is_name && !resp_arg_is(option, "lib-ver")) {
        resp_error(call->reply, "ERR Unrecognized option '%.*s'",
                   (int)(option->len < 128 ? option->len : 128), (const char *)option->data);
    } else if (!clean_name(&call->args[3])) {
        resp_error(call->reply, "ERR %s cannot contain spaces, newlines or special characters.",
                   is_name ? "lib-name" : "lib-ver");
    } else if (set_text(call, is_name ? &call->session->lib_name : &call->session->lib_version,
                        &call->args[3])) {
        resp_status(call->reply, "OK");
    }
}

void resp_cmd_client_id(struct resp_call *call)
{
    resp_integer(call->reply, (int64_t)call->session->id);
}

// What the line says of modes, in Redis's order; "N" when none holds.
static void put_flags(const struct resp_session *s, char flags[static 16])
{
    unsigned tracking = atomic_load_explicit(&s->tracking, memory_order_relaxed);
    const struct {
        bool holds;
        char letter;
    } all[] = {
        {atomic_load_explicit(&s->monitor, memory_order_relaxed), 'O'},
        {resp_pubsub_listens(s), 'P'},
        {atomic_load_explicit(&s->multi, memory_order_relaxed) != 0, 'x'},
        {(tracking & RESP_TRACKING_ON) != 0, 't'},
        {(tracking & RESP_TRACKING_BROKEN) != 0, 'R'},
        {(tracking & RESP_TRACKING_BCAST) != 0, 'B'},
        {atomic_load_explicit(&s->watch_dirty, memory_order_relaxed), 'd'},
        {s->peer[0] == '/', 'U'},
        {atomic_load_explicit(&s->manners.no_evict, memory_order_relaxed), 'e'},
        {atomic_load_explicit(&s->manners.no_touch, memory_order_relaxed), 'T'},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].holds)
            flags[n++] = all[i].letter;
    if (n == 0)
        flags[n++] = 'N';
    flags[n] = '\0';
}

static uint64_t seconds_since(uint64_t then_ms, uint64_t now_ms)
{
    return now_ms > then_ms ? (now_ms - then_ms) / 1000 : 0;
}

static void add_held(struct evbuffer *out, const struct resp_held *held)
{
    size_t output = atomic_load_explicit(&held->output_bytes, memory_order_relaxed);
    (void)evbuffer_add_printf(
        out,
        " qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=%d omem=%zu "
        "tot-mem=%zu events=%s",
        atomic_load_explicit(&held->query_bytes, memory_order_relaxed),
        atomic_load_explicit(&held->query_room, memory_order_relaxed), output != 0, output,
        atomic_load_explicit(&held->bytes, memory_order_relaxed), output != 0 ? "rw" : "r");
}

// To whom invalidations go: 0 to itself, -1 it asked for none.
static int64_t redirect_of(const struct resp_session *s)
{
    bool tracks = (atomic_load_explicit(&s->tracking, memory_order_relaxed) & RESP_TRACKING_ON) != 0;
    return tracks ? (int64_t)atomic_load_explicit(&s->redirect, memory_order_relaxed) : -1;
}

// One line about a session, without its end. The caller holds clients_lock.
static void add_line(struct evbuffer *out, const struct resp_session *s, uint64_t now_ms)
{
    char command[64] = "NULL", flags[16];
    const struct resp_command *last = atomic_load_explicit(&s->command, memory_order_relaxed);
    const struct resp_command *parent = atomic_load_explicit(&s->command_parent, memory_order_relaxed);
    uint64_t active_ms = atomic_load_explicit(&s->active_ms, memory_order_relaxed);
    if (last != NULL)
        (void)resp_command_full_name(last, last->group == NULL ? parent : NULL, command, sizeof command);
    put_flags(s, flags);
    (void)evbuffer_add_printf(out,
                              "id=%" PRIu64 " addr=%s laddr=%s fd=%d name=%s age=%" PRIu64 " idle=%" PRIu64
                              " flags=%s db=%u sub=%u psub=%u ssub=%u multi=%d",
                              s->id, s->peer, s->local, s->fd, s->name != NULL ? s->name : "",
                              seconds_since(s->created_ms, now_ms), seconds_since(active_ms, now_ms), flags,
                              atomic_load_explicit(&s->db, memory_order_relaxed),
                              resp_pubsub_count(s, RESP_CHANNELS), resp_pubsub_count(s, RESP_PATTERNS),
                              resp_pubsub_count(s, RESP_SHARD_CHANNELS),
                              (int)atomic_load_explicit(&s->multi, memory_order_relaxed) - 1);
    add_held(out, &s->held);
    (void)evbuffer_add_printf(out, " cmd=%s user=default redir=%" PRId64 " resp=%d lib-name=%s lib-ver=%s",
                              command, redirect_of(s), atomic_load_explicit(&s->proto, memory_order_relaxed),
                              s->lib_name != NULL ? s->lib_name : "",
                              s->lib_version != NULL ? s->lib_version : "");
}

static void reply_text(struct resp_call *call, struct evbuffer *text)
{
    size_t len = evbuffer_get_length(text);
    const unsigned char *bytes = evbuffer_pullup(text, -1);
    if (len == 0 || bytes != NULL)
        resp_verbatim(call->reply, bytes, len);
    else
        call->reply->failed = true;
}

bool resp_client_type(struct resp_call *call, const struct resp_arg *name, enum resp_client_type *type)
{
    static const struct {
        const char *name;
        enum resp_client_type type;
    } types[] = {{"normal", RESP_CLIENT_NORMAL},
                 {"slave", RESP_CLIENT_REPLICA},
                 {"replica", RESP_CLIENT_REPLICA},
                 {"pubsub", RESP_CLIENT_PUBSUB},
                 {"master", RESP_CLIENT_MASTER}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (resp_arg_is(name, types[i].name)) {
            *type = types[i].type;
            return true;
        }
    }
    resp_error(call->reply, "ERR Unknown client type '%.*s'", (int)(name->len < 128 ? name->len : 128),
               (const char *)name->data);
    return false;
}

enum resp_client_type resp_client_type_of(const struct resp_session *session)
{
    return resp_pubsub_listens(session) ? RESP_CLIENT_PUBSUB : RESP_CLIENT_NORMAL;
}

// Which sessions CLIENT LIST shows.
struct client_filter {
    const struct resp_arg *ids;
    size_t id_count; // 0: all
    bool typed;
    enum resp_client_type type;
};

// False: an error was replied.
static bool ids_are_right(struct resp_call *call, const struct client_filter *filter)
{
    int64_t id;
    for (size_t i = 0; i < filter->id_count; i++) {
        if (!resp_arg_int64(&filter->ids[i], &id) || id < 1) {
            resp_error(call->reply, "ERR Invalid client ID");
            return false;
        }
    }
    return true;
}

static bool filter_parse(struct resp_call *call, struct client_filter *filter)
{
    const struct resp_arg *args = call->args;
    *filter = (struct client_filter){0};
    if (call->argc == 2)
        return true;
    if (call->argc == 4 && resp_arg_is(&args[2], "type")) {
        filter->typed = true;
        return resp_client_type(call, &args[3], &filter->type);
    }
    if (call->argc > 3 && call->argc <= 3 + FILTER_IDS_MAX && resp_arg_is(&args[2], "id")) {
        filter->ids = args + 3;
        filter->id_count = call->argc - 3;
        return ids_are_right(call, filter);
    }
    resp_error(call->reply, RESP_SYNTAX_ERROR);
    return false;
}

static bool filter_takes(const struct client_filter *filter, const struct resp_session *session)
{
    if (atomic_load_explicit(&session->killed, memory_order_relaxed) ||
        (filter->typed && filter->type != resp_client_type_of(session)))
        return false;
    if (filter->id_count == 0)
        return true;
    int64_t id;
    for (size_t i = 0; i < filter->id_count; i++) {
        if (resp_arg_int64(&filter->ids[i], &id) && (uint64_t)id == session->id)
            return true;
    }
    return false;
}

void resp_cmd_client_list(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    struct client_filter filter;
    if (!filter_parse(call, &filter))
        return;
    struct evbuffer *text = evbuffer_new();
    if (text == NULL) {
        call->reply->failed = true;
        return;
    }
    uint64_t now_ms = resp_now_ms(shared);
    (void)pthread_mutex_lock(&shared->clients_lock);
    for (const struct resp_session *s = shared->first; s != NULL; s = s->next) {
        if (filter_takes(&filter, s)) {
            add_line(text, s, now_ms);
            (void)evbuffer_add(text, "\n", 1);
        }
    }
    (void)pthread_mutex_unlock(&shared->clients_lock);
    reply_text(call, text);
    evbuffer_free(text);
}

void resp_cmd_client_info(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    struct evbuffer *text = evbuffer_new();
    if (text == NULL) {
        call->reply->failed = true;
        return;
    }
    (void)pthread_mutex_lock(&shared->clients_lock);
    add_line(text, call->session, resp_now_ms(shared));
    (void)pthread_mutex_unlock(&shared->clients_lock);
    (void)evbuffer_add(text, "\n", 1);
    reply_text(call, text);
    evbuffer_free(text);
}
