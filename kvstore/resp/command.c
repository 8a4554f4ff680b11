#include "kvstore/resp/command.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kvstore/resp/admit.h"
#include "kvstore/resp/args.h"
#include "kvstore/resp/gate.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/monitor.h"
#include "kvstore/resp/replica.h"
#include "kvstore/resp/stats.h"
#include "kvstore/resp/tracking.h"

#define ECHOED_MAX 128 // bytes of a peer's words that an error gives back

int resp_command_compare(const void *key, const void *entry)
{
    const struct resp_arg *name = key;
    const char *other = ((const struct resp_command *)entry)->name;
    size_t other_len = strlen(other);
    int order = strncasecmp((const char *)name->data, other, name->len < other_len ? name->len : other_len);
    if (order != 0 || name->len == other_len)
        return order;
    return name->len < other_len ? -1 : 1;
}

const struct resp_command *resp_subcommand_find(const struct resp_command *command,
                                                const struct resp_arg *name)
{
    if (command->subcommand_count == 0 || name->len == 0)
        return NULL;
    return bsearch(name, command->subcommands, command->subcommand_count, sizeof *command,
                   resp_command_compare);
}

char *resp_command_full_name(const struct resp_command *command, const struct resp_command *parent, char *buf,
                             size_t len)
{
    (void)snprintf(buf, len, "%s%s%s", parent != NULL ? parent->name : "", parent != NULL ? "|" : "",
                   command->name);
    return buf;
}

// Bytes up to a NUL, as the C strings of Redis's error texts end there.
static int text_len(const struct resp_arg *arg, size_t max)
{
    size_t len = arg->len < max ? arg->len : max;
    return (int)strnlen((const char *)arg->data, len);
}

static void reply_unknown(struct resp_reply *reply, const struct resp_arg *args, size_t argc)
{
    char words[2 * ECHOED_MAX];
    size_t used = 0;
    words[0] = '\0';
    for (size_t i = 1; i < argc && used < ECHOED_MAX; i++) {
        int len = snprintf(words + used, sizeof words - used, "'%.*s' ",
                           text_len(&args[i], ECHOED_MAX - used), (const char *)args[i].data);
        used += (size_t)len;
    }
    resp_error(reply, "ERR unknown command '%.*s', with args beginning with: %s",
               text_len(&args[0], ECHOED_MAX), (const char *)args[0].data, words);
}

static char *upper_name(const struct resp_command *command, char upper[static 32])
{
    size_t i = 0;
    for (; command->name[i] != '\0' && i + 1 < 32; i++)
        upper[i] = (char)toupper((unsigned char)command->name[i]);
    upper[i] = '\0';
    return upper;
}

static void reply_unknown_subcommand(struct resp_reply *reply, const struct resp_command *command,
                                     const struct resp_arg *name)
{
    char upper[32];
    resp_error(reply, "ERR unknown subcommand '%.*s'. Try %s HELP.", text_len(name, ECHOED_MAX),
               (const char *)name->data, upper_name(command, upper));
}

void resp_subcommand_error(struct resp_call *call)
{
    char upper[32];
    resp_error(call->reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
               text_len(&call->args[1], ECHOED_MAX), (const char *)call->args[1].data,
               upper_name(call->parent, upper));
}

static bool arity_holds(const struct resp_command *command, size_t argc)
{
    return command->arity >= 0 ? argc == (size_t)command->arity : argc >= (size_t)-command->arity;
}

static void note_command(struct resp_session *session, const struct resp_command *command,
                         const struct resp_command *parent)
{
    atomic_store_explicit(&session->command, command, memory_order_relaxed);
    atomic_store_explicit(&session->command_parent, parent, memory_order_relaxed);
}

static void count_command(struct resp_session *session)
{
    atomic_fetch_add_explicit(&session->shared->counters.commands, 1, memory_order_relaxed);
}

void resp_command_fetching(struct resp_session *session, const struct resp_arg *args)
{
    const struct resp_command *command = resp_command_find(&args[0]);
    note_command(session, command, NULL);
    count_command(session);
    resp_stats_fetching(session->shared, command);
}

// ---- keys and their locks

void resp_command_keys(const struct resp_command *command, size_t argc,
                       void (*fn)(void *arg, size_t position), void *arg)
{
    if (command->first_key == 0)
        return;
    long last = command->last_key < 0 ? (long)argc + command->last_key : command->last_key;
    for (long at = command->first_key; at <= last && at < (long)argc; at += command->key_step)
        fn(arg, (size_t)at);
}

struct locking {
    struct resp_lock_set *set;
    const struct resp_call *call;
};

static void add_lock(void *arg, size_t position)
{
    struct locking *locking = arg;
    const struct resp_call *call = locking->call;
    resp_lock_set_add(locking->set, &call->session->shared->locks, call->db, &call->args[position]);
}

static bool changes(const struct resp_command *command)
{
    return (command->flags & RESP_CMD_WRITE) != 0;
}

void resp_command_locks(const struct resp_call *call, struct resp_lock_set *set)
{
    struct locking locking = {.set = set, .call = call};
    if ((call->command->flags & RESP_CMD_ALL_KEYS) != 0)
        resp_lock_set_add_all(set);
    else
        resp_command_keys(call->command, call->argc, add_lock, &locking);
}

static bool reads_one_key(const struct resp_call *call)
{
    const struct resp_command *command = call->command;
    if (changes(command) || (command->flags & RESP_CMD_ALL_KEYS) != 0 || command->first_key <= 0)
        return false;
    long last = command->last_key < 0 ? (long)call->argc + command->last_key : command->last_key;
    return last >= command->first_key && last - command->first_key < command->key_step;
}

// The locks that a call needs, taken. False: it may not wait, and somebody has one of them.
static bool lock_keys(struct resp_call *call, struct resp_lock_set *set)
{
    struct resp_locks *locks = &call->session->shared->locks;
    *set = (struct resp_lock_set){0};
    if (reads_one_key(call) && resp_locks_free_to_read(locks))
        return true;
    resp_command_locks(call, set);
    return resp_locks_take(locks, set, changes(call->command), call->may_wait);
}

static void unlock_keys(struct resp_call *call, const struct resp_lock_set *set)
{
    resp_locks_release(&call->session->shared->locks, set, changes(call->command));
}

// ---- running

void resp_command_call(struct resp_call *call)
{
    const struct resp_begin begin = resp_stats_begin(call->session, call->reply);
    note_command(call->session, call->command, call->parent);
    resp_tracking_note(call);
    call->command->handler(call);
    if (call->again)
        return;
    count_command(call->session);
    resp_stats_end(call, &begin);
    resp_monitor_show(call);
}

// False: an error was replied.
static bool find(struct resp_reply *reply, const struct resp_arg *args, size_t argc, struct resp_call *call)
{
    call->command = resp_command_find(&args[0]);
    if (call->command == NULL) {
        reply_unknown(reply, args, argc);
        return false;
    }
    if (call->command->subcommand_count != 0 && argc > 1) {
        call->parent = call->command;
        call->command = resp_subcommand_find(call->parent, &args[1]);
        if (call->command == NULL) {
            reply_unknown_subcommand(reply, call->parent, &args[1]);
            return false;
        }
    }
    if (arity_holds(call->command, argc) && call->command->handler != NULL)
        return true;
    char name[64];
    resp_error(reply, "ERR wrong number of arguments for '%s' command",
               resp_command_full_name(call->command, call->parent, name, sizeof name));
    return false;
}

static enum resp_run run(struct resp_call *call)
{
    struct resp_lock_set locks;
    bool waits = (call->command->flags & (RESP_CMD_WAITS | RESP_CMD_ALL_KEYS)) != 0 ||
                 (changes(call->command) && (call->session->shared->fsync == KV_FSYNC_ALWAYS ||
                                             kv_is_behind(call->session->shared->store)));
    if ((waits && !call->may_wait) || !lock_keys(call, &locks))
        return RESP_RUN_AGAIN;
    bool gathers = resp_tracking_gather(call->session->shared);
    resp_command_call(call);
    unlock_keys(call, &locks);
    if (gathers)
        resp_tracking_send();
    return call->again ? RESP_RUN_AGAIN : RESP_RUN_DONE;
}

static enum resp_run pass_and_run(struct resp_call *call, const struct resp_mark *mark)
{
    switch (resp_gate_pass(call)) {
    case RESP_GATE_REFUSED:
        return RESP_RUN_DONE;
    case RESP_GATE_WAIT:
        return RESP_RUN_AGAIN;
    case RESP_GATE_OPEN:
        break;
    }
    if (resp_replica_refuses(call)) {
        resp_admit_rejected(call, mark);
        return RESP_RUN_DONE;
    }
    return resp_admit(call) ? run(call) : RESP_RUN_DONE;
}

enum resp_run resp_command_run(struct resp_session *session, struct resp_reply *reply,
                               const struct resp_arg *args, size_t argc, bool may_wait)
{
    struct resp_call call = {.session = session,
                             .reply = reply,
                             .args = args,
                             .argc = argc,
                             .db = session->db,
                             .may_wait = may_wait};
    const struct resp_begin begin = {0, reply->errors, session->errors_counted};
    reply->proto = atomic_load_explicit(&session->proto, memory_order_relaxed);
    struct resp_mark mark = resp_reply_mark(reply);
    session->reply_is_push = false;
    if (!find(reply, args, argc, &call)) {
        resp_admit_rejected(&call, &mark);
    } else if (pass_and_run(&call, &mark) == RESP_RUN_AGAIN) {
        resp_reply_rewind(reply, &mark);
        return RESP_RUN_AGAIN;
    }
    resp_stats_answered(session, reply, call.command, &begin);
    if (reply->errors != mark.errors)
        atomic_fetch_add_explicit(&session->shared->counters.errors, 1, memory_order_relaxed);
    resp_admit_done(&call);
    resp_gate_reply(session, reply, &mark);
    if (session->take_pushed != NULL && atomic_load_explicit(&session->pushed, memory_order_relaxed))
        session->take_pushed(session, reply);
    return RESP_RUN_DONE;
}
