#include "kvstore/kvstore_hooks.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config_edit.h"

#define VALUE_MOST 1280u

// Parameters of CONFIG that options of the daemon mean, too; all others go to redis-set.
static const struct {
    const char *parameter, *option, *unit;
} options[] = {
    {"maxclients", "max-clients", ""},
    {"maxmemory", "memory", ""},
    {"timeout", "idle-timeout", "s"},
};

static const char *const levels[][2] = {
    {"debug", "debug"}, {"notice", "info"}, {"verbose", "info"}, {"warning", "warn"}};

static void set_setting(struct config_setting *setting, const struct resp_config_change *change,
                        char value[static VALUE_MOST])
{
    *setting = (struct config_setting){.name = "redis-set", .value = value, .word = change->name};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (strcmp(change->name, options[i].parameter) != 0)
            continue;
        *setting = (struct config_setting){.name = options[i].option, .value = value};
        (void)snprintf(value, VALUE_MOST, "%s%s", change->value, options[i].unit);
        return;
    }
    for (size_t i = 0; i < sizeof levels / sizeof levels[0] && strcmp(change->name, "loglevel") == 0; i++) {
        if (strcmp(change->value, levels[i][0]) != 0)
            continue;
        *setting = (struct config_setting){.name = "log-level", .value = value};
        (void)snprintf(value, VALUE_MOST, "%s", levels[i][1]);
        return;
    }
    (void)snprintf(value, VALUE_MOST, "%s %s", change->name, change->value);
}

static bool rewrite(void *arg, const struct resp_config_change *changes, size_t count, struct error *e)
{
    const struct kvstore_daemon *daemon = arg;
    struct config_setting *settings = calloc(count, sizeof *settings);
    char(*values)[VALUE_MOST] = calloc(count, sizeof *values);
    bool good = settings != NULL && values != NULL;
    for (size_t i = 0; i < count && good; i++)
        set_setting(&settings[i], &changes[i], values[i]);
    if (good)
        good = config_edit(daemon->options->config, settings, count, e);
    else
        error_set(e, "out of memory");
    free(settings);
    free(values);
    return good;
}

static void end(void *arg)
{
    (void)arg;
    (void)kill(getpid(), SIGTERM); // the main thread's loop takes it as any other
}

static size_t elastic(void *arg, char *text, size_t size)
{
    const struct kvstore_daemon *daemon = arg;
    json_t *status = scaler_status(daemon->scaler);
    const char *state = json_string_value(json_object_get(status, "state"));
    const char *source = json_string_value(json_object_get(status, "ceiling"));
    int n = snprintf(
        text, size,
        "scaler_state:%s\r\nscaler_ceiling_bytes:%" PRId64 "\r\nscaler_ceiling_source:%s\r\n"
        "scaler_target_bytes:%" PRId64 "\r\n",
        state != NULL ? state : "", (int64_t)json_integer_value(json_object_get(status, "ceiling_bytes")),
        source != NULL ? source : "", (int64_t)json_integer_value(json_object_get(status, "target_bytes")));
    json_decref(status);
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

struct resp_hooks kvstore_hooks(struct kvstore_daemon *daemon)
{
    const struct kvstore_options *o = daemon->options;
    return (struct resp_hooks){
        .arg = daemon,
        .dir = o->dir,
        .config_file = o->config,
        .settings = (const char *const *)o->redis_set.items,
        .setting_count = o->redis_set.count,
        .rewrite = rewrite,
        .shutdown = end,
        .elastic = elastic,
    };
}
