// CONFIG: GET, SET (all or nothing), RESETSTAT, REWRITE.
#include "kvstore/resp/config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/stats.h"
#include "kvstore/resp/store.h"

struct resp_config {
    pthread_mutex_t changing; // held by workers while they set or write parameters, which may take long
    pthread_mutex_t lock;     // of `kept`, never for long: loops read it
    char **kept;              // by parameter, those without a getter; NULL: as preset
    bool *changed;            // by CONFIG SET; guarded by `changing`
};

struct resp_config *resp_config_create(void)
{
    struct resp_config *config = calloc(1, sizeof *config);
    if (config == NULL || pthread_mutex_init(&config->lock, NULL) != 0) {
        free(config);
        return NULL;
    }
    if (pthread_mutex_init(&config->changing, NULL) != 0) {
        (void)pthread_mutex_destroy(&config->lock);
        free(config);
        return NULL;
    }
    config->kept = calloc(resp_parameter_count, sizeof *config->kept);
    config->changed = calloc(resp_parameter_count, sizeof *config->changed);
    if (config->kept == NULL || config->changed == NULL)
        resp_config_destroy(&config);
    return config;
}

void resp_config_destroy(struct resp_config **config)
{
    struct resp_config *c = *config;
    *config = NULL;
    if (c == NULL)
        return;
    for (size_t i = 0; c->kept != NULL && i < resp_parameter_count; i++)
        free(c->kept[i]);
    free(c->kept);
    free(c->changed);
    (void)pthread_mutex_destroy(&c->changing);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

// ---- values

static void text_of(struct resp_shared *shared, size_t i, char text[static RESP_CONFIG_TEXT])
{
    const struct resp_parameter *p = &resp_parameters[i];
    if (p->get != NULL) {
        p->get(shared, text);
        return;
    }
    (void)pthread_mutex_lock(&shared->config->lock);
    const char *kept = shared->config->kept[i];
    (void)snprintf(text, RESP_CONFIG_TEXT, "%s", kept != NULL ? kept : p->preset);
    (void)pthread_mutex_unlock(&shared->config->lock);
}

// By who holds `changing`.
static bool put(struct resp_shared *shared, size_t i, const char *text, const char **why)
{
    const struct resp_parameter *p = &resp_parameters[i];
    bool keep = p->get == NULL && (p->flags & RESP_CONFIG_SECRET) == 0;
    char *copy = keep ? strdup(text) : NULL;
    if (keep && copy == NULL) {
        *why = "out of memory";
        return false;
    }
    if (p->apply != NULL && !p->apply(shared, text, why)) {
        free(copy);
        return false;
    }
    if (keep) {
        (void)pthread_mutex_lock(&shared->config->lock);
        char *old = shared->config->kept[i];
        shared->config->kept[i] = copy;
        (void)pthread_mutex_unlock(&shared->config->lock);
        free(old);
    }
    return true;
}

static size_t find(const struct resp_arg *name)
{
    size_t i = 0;
    while (i < resp_parameter_count && !resp_arg_is(name, resp_parameters[i].name))
        i++;
    return i;
}

void resp_config_text(struct resp_shared *shared, const char *name, char *text, size_t size)
{
    char whole[RESP_CONFIG_TEXT] = "";
    size_t i = find(&(struct resp_arg){(const uint8_t *)name, strlen(name)});
    if (i < resp_parameter_count)
        text_of(shared, i, whole);
    (void)snprintf(text, size, "%s", whole);
}

// ---- GET

static bool asked_for(const struct resp_call *call, const struct resp_parameter *parameter)
{
    for (size_t i = 2; i < call->argc; i++) {
        const struct resp_arg *pattern = &call->args[i];
        if (resp_glob(pattern->data, pattern->len, (const uint8_t *)parameter->name, strlen(parameter->name),
                      true))
            return true;
    }
    return false;
}

void resp_cmd_config_get(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    struct resp_reply list;
    size_t count = 0;
    if (!resp_list_begin(call->reply, &list))
        return;
    for (size_t i = 0; i < resp_parameter_count; i++) {
        char text[RESP_CONFIG_TEXT];
        if (!asked_for(call, &resp_parameters[i]))
            continue;
        text_of(shared, i, text);
        resp_bulk_text(&list, resp_parameters[i].name);
        resp_bulk_text(&list, text);
        count++;
    }
    resp_map(call->reply, count);
    resp_reply_append(call->reply, &list);
    resp_reply_deinit(&list);
}

// ---- SET

struct change {
    size_t parameter;
    char text[RESP_CONFIG_TEXT], before[RESP_CONFIG_TEXT];
};

static void reply_failed(struct resp_call *call, size_t parameter, const char *why)
{
    resp_error(call->reply, "ERR CONFIG SET failed (possibly related to argument '%s') - %s",
               resp_parameters[parameter].name, why);
}

// Which parameters are meant, and that they may be changed. False: an error was replied.
static bool choose(struct resp_call *call, struct change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct resp_arg *name = &call->args[2 + 2 * i];
        size_t at = changes[i].parameter = find(name);
        if (at == resp_parameter_count) {
            resp_error(call->reply, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                       (int)(name->len < 128 ? name->len : 128), (const char *)name->data);
            return false;
        }
        if ((resp_parameters[at].flags & (RESP_CONFIG_FIXED | RESP_CONFIG_PROTECTED)) != 0) {
            bool fixed = (resp_parameters[at].flags & RESP_CONFIG_FIXED) != 0;
            reply_failed(call, at, fixed ? "can't set immutable config" : "can't set protected config");
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (changes[j].parameter == at) {
                reply_failed(call, at, "duplicate parameter");
                return false;
            }
        }
    }
    return true;
}

static bool check(struct resp_shared *shared, size_t i, const struct resp_arg *value, char *text,
                  const char **why)
{
    const struct resp_parameter *p = &resp_parameters[i];
    return resp_config_parse(p, value, text, why) && (p->check == NULL || p->check(shared, text, why));
}

// By who holds `changing`.
static bool check_all(struct resp_call *call, struct change *changes, size_t count)
{
    struct resp_shared *shared = call->session->shared;
    const char *why = "";
    for (size_t i = 0; i < count; i++) {
        if (!check(shared, changes[i].parameter, &call->args[3 + 2 * i], changes[i].text, &why)) {
            reply_failed(call, changes[i].parameter, why);
            return false;
        }
        text_of(shared, changes[i].parameter, changes[i].before);
    }
    return true;
}

static bool is_secret(const struct change *change)
{
    return (resp_parameters[change->parameter].flags & RESP_CONFIG_SECRET) != 0;
}

// By who holds `changing`. What fails takes back what was done before it; a secret, which cannot be taken back, comes last.
static bool put_all(struct resp_call *call, struct change *changes, size_t count)
{
    struct resp_shared *shared = call->session->shared;
    const char *why = "", *ignored;
    for (size_t n = 0; n < 2 * count; n++) {
        size_t i = n % count;
        if (is_secret(&changes[i]) != (n >= count) ||
            put(shared, changes[i].parameter, changes[i].text, &why))
            continue;
        reply_failed(call, changes[i].parameter, why);
        for (size_t done = n < count ? n : count; done-- != 0;)
            if (!is_secret(&changes[done]))
                (void)put(shared, changes[done].parameter, changes[done].before, &ignored);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        shared->config->changed[changes[i].parameter] = true;
    return true;
}

void resp_cmd_config_set(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    size_t count = (call->argc - 2) / 2;
    if (call->argc % 2 != 0) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return;
    }
    // More pairs than parameters: one is unknown or comes twice.
    struct change *changes =
        calloc(count <= resp_parameter_count ? count : resp_parameter_count + 1, sizeof *changes);
    if (changes == NULL) {
        call->reply->failed = true;
        return;
    }
    if (choose(call, changes, count)) {
        (void)pthread_mutex_lock(&shared->config->changing);
        if (check_all(call, changes, count) && put_all(call, changes, count))
            resp_status(call->reply, "OK");
        (void)pthread_mutex_unlock(&shared->config->changing);
    }
    for (size_t i = 0; i < count && i <= resp_parameter_count; i++)
        explicit_bzero(changes[i].text, sizeof changes[i].text);
    free(changes);
}

// ---- at start

static bool start_one(struct resp_shared *shared, const char *setting, struct error *e)
{
    char text[RESP_CONFIG_TEXT];
    size_t len = strcspn(setting, " \t");
    const char *value = setting + len + strspn(setting + len, " \t"), *why = "it is fixed";
    size_t i = find(&(struct resp_arg){(const uint8_t *)setting, len});
    if (i == resp_parameter_count) {
        error_set(e, "%.*s: no such parameter", (int)len, setting);
        return false;
    }
    unsigned flags = resp_parameters[i].flags;
    bool may = (flags & (RESP_CONFIG_FIXED | RESP_CONFIG_PROTECTED | RESP_CONFIG_SECRET)) == 0 ||
               (flags & RESP_CONFIG_AT_START) != 0;
    const struct resp_arg arg = {(const uint8_t *)value, strlen(value)};
    if (may && check(shared, i, &arg, text, &why) && put(shared, i, text, &why))
        return true;
    error_set(e, "%s: %s", resp_parameters[i].name, why);
    return false;
}

bool resp_config_start(struct resp_shared *shared, struct error *e)
{
    bool good = true;
    (void)pthread_mutex_lock(&shared->config->changing);
    for (size_t i = 0; i < shared->hooks.setting_count && good; i++)
        good = start_one(shared, shared->hooks.settings[i], e);
    (void)pthread_mutex_unlock(&shared->config->changing);
    return good;
}

// ---- RESETSTAT, REWRITE

void resp_cmd_config_resetstat(struct resp_call *call)
{
    struct kv_stats stats;
    kv_get_stats(call->session->shared->store, &stats);
    resp_stats_reset(call->session->shared, &stats);
    resp_status(call->reply, "OK");
}

// By who holds `changing`. *count of changes, each with a text of its own; NULL: no memory.
static struct resp_config_change *list_changes(struct resp_shared *shared, size_t *count)
{
    struct resp_config_change *changes = calloc(resp_parameter_count, sizeof *changes);
    *count = 0;
    for (size_t i = 0; changes != NULL && i < resp_parameter_count; i++) {
        char text[RESP_CONFIG_TEXT];
        if (!shared->config->changed[i])
            continue;
        text_of(shared, i, text);
        changes[*count].name = resp_parameters[i].name;
        changes[*count].value = strdup(text);
        if (changes[(*count)++].value == NULL)
            return changes; // the last one is empty: not to be used
    }
    return changes;
}

static bool secret_changed(const struct resp_shared *shared)
{
    for (size_t i = 0; i < resp_parameter_count; i++)
        if (shared->config->changed[i] && (resp_parameters[i].flags & RESP_CONFIG_SECRET) != 0)
            return true;
    return false;
}

static void rewrite(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    const struct resp_hooks *hooks = &shared->hooks;
    struct error why;
    size_t count;
    struct resp_config_change *changes = list_changes(shared, &count);
    if (changes == NULL || (count != 0 && changes[count - 1].value == NULL))
        call->reply->failed = true;
    else if (count == 0 || hooks->rewrite(hooks->arg, changes, count, &why))
        resp_status(call->reply, "OK");
    else
        resp_error(call->reply, "ERR Rewriting config file: %s", why.text);
    for (size_t i = 0; changes != NULL && i < count; i++)
        free((char *)changes[i].value);
    free(changes);
}

void resp_cmd_config_rewrite(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    if (shared->hooks.config_file == NULL || shared->hooks.rewrite == NULL) {
        resp_error(call->reply, "ERR The server is running without a config file");
        return;
    }
    (void)pthread_mutex_lock(&shared->config->changing);
    if (secret_changed(shared))
        resp_error(call->reply, "ERR Rewriting config file: the password was changed, and is not written to "
                                "it: change the password file");
    else
        rewrite(call);
    (void)pthread_mutex_unlock(&shared->config->changing);
}
