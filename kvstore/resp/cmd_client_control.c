// CLIENT: what one does to connections, one's own and others'.
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"

#define SHOWN 128 // bytes of a word that an error gives back

// ---- KILL

struct victims {
    const struct resp_arg *addr, *local; // NULL: any
    uint64_t id;                         // 0: any
    uint64_t age_s;                      // at least; 0: any
    bool typed;
    enum resp_client_type type;
    bool spare_self;
};

static bool refuse(struct resp_call *call, const char *text)
{
    resp_error(call->reply, "%s", text);
    return false;
}

static bool positive(struct resp_call *call, const struct resp_arg *arg, const char *error, uint64_t *value)
{
    int64_t number;
    if (!resp_arg_int64(arg, &number) || number < 1)
        return refuse(call, error);
    *value = (uint64_t)number;
    return true;
}

static bool is_user(struct resp_call *call, const struct resp_arg *name)
{
    if (resp_arg_equal(name, &(struct resp_arg){(const uint8_t *)"default", 7}))
        return true;
    resp_error(call->reply, "ERR No such user '%.*s'", (int)(name->len < SHOWN ? name->len : SHOWN),
               (const char *)name->data);
    return false;
}

// One filter and its value. False: an error was replied.
static bool filter(struct resp_call *call, const struct resp_arg *name, const struct resp_arg *value,
                   struct victims *v)
{
    if (resp_arg_is(name, "id"))
        return positive(call, value, "ERR client-id should be greater than 0", &v->id);
    if (resp_arg_is(name, "maxage"))
        return positive(call, value, "ERR maxage should be greater than 0", &v->age_s);
    if (resp_arg_is(name, "type")) {
        v->typed = true;
        return resp_client_type(call, value, &v->type);
    }
    if (resp_arg_is(name, "user"))
        return is_user(call, value);
    if (resp_arg_is(name, "addr")) {
        v->addr = value;
    } else if (resp_arg_is(name, "laddr")) {
        v->local = value;
    } else if (resp_arg_is(name, "skipme") && (resp_arg_is(value, "yes") || resp_arg_is(value, "no"))) {
        v->spare_self = resp_arg_is(value, "yes");
    } else {
        return refuse(call, RESP_SYNTAX_ERROR);
    }
    return true;
}

static bool text_is(const struct resp_arg *arg, const char *text)
{
    return arg->len == strlen(text) && memcmp(arg->data, text, arg->len) == 0;
}

static bool is_victim(const struct victims *v, const struct resp_session *s, uint64_t now_ms)
{
    return !atomic_load_explicit(&s->killed, memory_order_relaxed) &&
           (v->addr == NULL || text_is(v->addr, s->peer)) &&
           (v->local == NULL || text_is(v->local, s->local)) && (v->id == 0 || v->id == s->id) &&
           (!v->typed || v->type == resp_client_type_of(s)) &&
           (v->age_s == 0 || (now_ms > s->created_ms && (now_ms - s->created_ms) / 1000 >= v->age_s));
}

// Returns how many.
static int64_t kill_all(struct resp_call *call, const struct victims *v)
{
    struct resp_shared *shared = call->session->shared;
    uint64_t now_ms = resp_now_ms(shared);
    int64_t killed = 0;
    (void)pthread_mutex_lock(&shared->clients_lock); // no session ends meanwhile
    for (struct resp_session *s = shared->first; s != NULL; s = s->next) {
        bool self = s == call->session;
        if (!is_victim(v, s, now_ms) || (self && v->spare_self))
            continue;
        killed++;
        if (self)
            s->close_after = true;
        else if (s->kill != NULL)
            s->kill(s);
    }
    (void)pthread_mutex_unlock(&shared->clients_lock);
    return killed;
}

void resp_cmd_client_kill(struct resp_call *call)
{
    struct victims victims = {.spare_self = call->argc > 3};
    if (call->argc == 3) {
        victims.addr = &call->args[2];
        if (kill_all(call, &victims) != 0)
            resp_status(call->reply, "OK");
        else
            resp_error(call->reply, "ERR No such client");
        return;
    }
    for (size_t i = 2; i < call->argc; i += 2) {
        if (i + 1 == call->argc) {
            (void)refuse(call, RESP_SYNTAX_ERROR);
            return;
        }
        if (!filter(call, &call->args[i], &call->args[i + 1], &victims))
            return;
    }
    resp_integer(call->reply, kill_all(call, &victims));
}

// ---- PAUSE

void resp_cmd_client_pause(struct resp_call *call)
{
    enum resp_pause_mode mode = RESP_PAUSE_ALL;
    int64_t ms;
    if (call->argc > 4) {
        resp_subcommand_error(call);
        return;
    }
    if (call->argc == 4) {
        if (resp_arg_is(&call->args[3], "write")) {
            mode = RESP_PAUSE_WRITE;
        } else if (!resp_arg_is(&call->args[3], "all")) {
            (void)refuse(call, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
    }
    if (!resp_arg_int64(&call->args[2], &ms)) {
        (void)refuse(call, "ERR timeout is not an integer or out of range");
    } else if (ms < 0) {
        (void)refuse(call, "ERR timeout is negative");
    } else {
        resp_pause_begin(&call->session->shared->pause, mode, (uint64_t)ms);
        resp_status(call->reply, "OK");
    }
}

void resp_cmd_client_unpause(struct resp_call *call)
{
    resp_pause_end(&call->session->shared->pause);
    resp_status(call->reply, "OK");
}

// ---- one's own manners

void resp_cmd_client_reply(struct resp_call *call)
{
    struct resp_manners *m = &call->session->manners;
    const struct resp_arg *mode = &call->args[2];
    if (resp_arg_is(mode, "on")) {
        m->reply_off = m->reply_skip = false;
        resp_status(call->reply, "OK");
    } else if (resp_arg_is(mode, "off")) {
        m->reply_off = true;
    } else if (resp_arg_is(mode, "skip")) {
        m->reply_skip_next = !m->reply_off;
    } else {
        (void)refuse(call, RESP_SYNTAX_ERROR);
    }
}

static void set_switch(struct resp_call *call, _Atomic bool *on)
{
    const struct resp_arg *value = &call->args[2];
    if (!resp_arg_is(value, "on") && !resp_arg_is(value, "off")) {
        (void)refuse(call, RESP_SYNTAX_ERROR);
        return;
    }
    atomic_store(on, resp_arg_is(value, "on"));
    resp_status(call->reply, "OK");
}

void resp_cmd_client_no_evict(struct resp_call *call)
{
    set_switch(call, &call->session->manners.no_evict);
}

void resp_cmd_client_no_touch(struct resp_call *call)
{
    set_switch(call, &call->session->manners.no_touch);
}

// There are no commands that block, so there is nobody to unblock.
void resp_cmd_client_unblock(struct resp_call *call)
{
    int64_t id;
    if (call->argc > 4)
        resp_subcommand_error(call);
    else if (call->argc == 4 && !resp_arg_is(&call->args[3], "timeout") &&
             !resp_arg_is(&call->args[3], "error"))
        (void)refuse(call, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    else if (!resp_arg_int64(&call->args[2], &id))
        (void)refuse(call, RESP_NOT_INTEGER);
    else
        resp_integer(call->reply, 0);
}
