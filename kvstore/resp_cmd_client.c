// CLIENT: what is known of connections.
#include <inttypes.h>
#include <string.h>

#include "kvstore/resp_args.h"
#include "kvstore/resp_handlers.h"
#include "kvstore/resp_store.h"

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

// One line about a session, without its end. The caller holds clients_lock.
static void add_line(struct evbuffer *out, const struct resp_session *s, uint64_t now_ms)
{
    char command[64] = "NULL";
    const struct resp_command *last = atomic_load_explicit(&s->command, memory_order_relaxed);
    const struct resp_command *parent = atomic_load_explicit(&s->command_parent, memory_order_relaxed);
    uint64_t active_ms = atomic_load_explicit(&s->active_ms, memory_order_relaxed);
    if (last != NULL)
        (void)resp_command_full_name(last, last->group == NULL ? parent : NULL, command, sizeof command);
    (void)evbuffer_add_printf(
        out,
        "id=%" PRIu64 " addr=%s laddr=%s fd=%d name=%s age=%" PRIu64 " idle=%" PRIu64
        " flags=%s db=0 sub=0 psub=0 ssub=0 multi=-1 cmd=%s user=default redir=-1 resp=%d"
        " lib-name=%s lib-ver=%s",
        s->id, s->peer, s->local, s->fd, s->name != NULL ? s->name : "",
        now_ms > s->created_ms ? (now_ms - s->created_ms) / 1000 : 0,
        now_ms > active_ms ? (now_ms - active_ms) / 1000 : 0, s->peer[0] == '/' ? "U" : "N", command,
        atomic_load_explicit(&s->proto, memory_order_relaxed), s->lib_name != NULL ? s->lib_name : "",
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

// Which sessions CLIENT LIST shows.
struct client_filter {
    const struct resp_arg *ids;
    size_t id_count; // 0: all
    bool none;       // a TYPE that we have none of
};

static bool filter_parse(struct resp_call *call, struct client_filter *filter)
{
    const struct resp_arg *args = call->args;
    *filter = (struct client_filter){0};
    if (call->argc == 2)
        return true;
    if (call->argc == 4 && resp_arg_is(&args[2], "type")) {
        static const char *const others[] = {"master", "replica", "slave", "pubsub"};
        for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
            filter->none |= resp_arg_is(&args[3], others[i]);
        if (filter->none || resp_arg_is(&args[3], "normal"))
            return true;
        resp_error(call->reply, "ERR Unknown client type '%.*s'",
                   (int)(args[3].len < 128 ? args[3].len : 128), (const char *)args[3].data);
        return false;
    }
    if (call->argc > 3 && call->argc <= 3 + FILTER_IDS_MAX && resp_arg_is(&args[2], "id")) {
        filter->ids = args + 3;
        filter->id_count = call->argc - 3;
        int64_t id;
        for (size_t i = 0; i < filter->id_count; i++) {
            if (!resp_arg_int64(&filter->ids[i], &id) || id < 1) {
                resp_error(call->reply, "ERR Invalid client ID");
                return false;
            }
        }
        return true;
    }
    resp_error(call->reply, RESP_SYNTAX_ERROR);
    return false;
}

static bool filter_takes(const struct client_filter *filter, const struct resp_session *session)
{
    if (filter->none || filter->id_count == 0)
        return !filter->none;
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
