#include "kvstore/kvstore_options.h"

#include <stddef.h>

#include "common/log.h"
#include "common/net.h"

#define AT(field)         offsetof(struct kvstore_options, field)
#define AT_ELASTIC(field) AT(elastic.field)
#define SECOND            1000000ull

static const struct config_option table[] = {
    {.name = "config",
     .type = CONFIG_FILE,
     .offset = AT(config),
     .arg = "FILE",
     .help = "Read options from an INI file; those on the command line win."},
    {.name = "listen",
     .type = CONFIG_STRING,
     .offset = AT(listen),
     .arg = "ADDR:PORT|unix:PATH",
     .required = true,
     .help = "Where clients of the Redis protocol connect. A Unix socket is for the server's own user and "
             "root. TCP has "
             "no authentication yet and is taken on loopback addresses only. Port 0 takes a free one, which "
             "the log names."},
    {.name = "dir",
     .type = CONFIG_STRING,
     .offset = AT(dir),
     .arg = "DIR",
     .required = true,
     .help = "Folder of the store. Made when it is not there."},
    SCALER_OPTION_ROWS(AT_ELASTIC, "Needed there.", "Needed there.", "Needed there."),
    {.name = "fsync",
     .type = CONFIG_ENUM,
     .offset = AT(fsync),
     .choices = "always|interval|never",
     .preset = "interval",
     .help = "When writes reach the device. always: what was acknowledged survives power failure; interval: "
             "a power failure "
             "loses at most --fsync-interval of writes; never: the kernel decides. kill -9 loses nothing "
             "with any."},
    {.name = "fsync-interval",
     .type = CONFIG_DURATION,
     .offset = AT(fsync_interval),
     .arg = "TIME",
     .preset = "1s",
     .min = 1000,
     .max = 3600 * SECOND,
     .help = "How often with --fsync interval."},
    {.name = "segment-bytes",
     .type = CONFIG_SIZE,
     .offset = AT(segment_bytes),
     .arg = "SIZE",
     .preset = "256mb",
     .min = 1 << 20,
     .max = 1ull << 32,
     .help = "The log's files are closed at about this size. The one that is being written is read through "
             "the page cache, the others are not."},
    {.name = "latency-goal",
     .type = CONFIG_DURATION,
     .offset = AT(latency_goal),
     .arg = "TIME",
     .preset = "5ms",
     .max = 60 * SECOND,
     .help = "Bringing values back into memory after its limit was raised gives way to reads slower than "
             "this. 0: no goal."},
    {.name = "admin",
     .type = CONFIG_STRING,
     .offset = AT(admin),
     .arg = "ADDR:PORT",
     .help = "Plain HTTP for operators: /metrics /healthz /status. Keep it on loopback."},
    {.name = "loops",
     .type = CONFIG_UINT,
     .offset = AT(loops),
     .arg = "N",
     .preset = "0",
     .max = 256,
     .help = "Event loops that serve connections. 0: a quarter of the processors."},
    {.name = "workers",
     .type = CONFIG_UINT,
     .offset = AT(workers),
     .arg = "N",
     .preset = "0",
     .max = 1024,
     .help = "Threads that run commands and wait for the disk. 0: four per processor, 8 to 64."},
    {.name = "max-clients",
     .type = CONFIG_UINT,
     .offset = AT(max_clients),
     .arg = "N",
     .preset = "1000",
     .min = 1,
     .max = 1000000,
     .help = "Connections at once; further ones are told so and closed."},
    {.name = "output-limit",
     .type = CONFIG_SIZE,
     .offset = AT(output_limit),
     .arg = "SIZE",
     .preset = "1gb",
     .min = 1 << 20,
     .max = 1ull << 36,
     .help =
         "Replies of one connection that wait to be taken, at most; one that asks for more is cut off. "
         "Never above an eighth of what the process may use when it starts; neither are commands that come."},
    {.name = "idle-timeout",
     .type = CONFIG_DURATION,
     .offset = AT(idle_timeout),
     .arg = "TIME",
     .preset = "0s",
     .max = 86400 * SECOND,
     .help = "A connection on which nothing moves is closed after this long. 0: never."},
    {.name = "write-timeout",
     .type = CONFIG_DURATION,
     .offset = AT(write_timeout),
     .arg = "TIME",
     .preset = "30s",
     .min = 1000,
     .max = 3600 * SECOND,
     .help = "A peer that takes nothing of its replies is cut off after this long."},
    {.name = "drain-timeout",
     .type = CONFIG_DURATION,
     .offset = AT(drain_timeout),
     .arg = "TIME",
     .preset = "10s",
     .min = 1000,
     .max = 3600 * SECOND,
     .help = "On SIGTERM, how long peers may take to fetch their last replies."},
    {.name = "log-file",
     .type = CONFIG_STRING,
     .offset = AT(log_file),
     .arg = "FILE",
     .help = "Default: standard error. Reopened on SIGHUP."},
    {.name = "log-level",
     .type = CONFIG_ENUM,
     .offset = AT(log_level),
     .choices = LOG_LEVEL_CHOICES,
     .preset = "info",
     .help = "error: somebody must act now; warn: soon; info; debug: for developers."},
    {.name = "check",
     .type = CONFIG_FLAG,
     .action = true,
     .offset = AT(check),
     .help = "Read the configuration and open the store, say OK or what is wrong, and end."},
    {.name = "print-config",
     .type = CONFIG_FLAG,
     .action = true,
     .offset = AT(print_config),
     .help = "Print a sample configuration file that explains every option, and end."},
};

const struct config_spec kvstore_options_spec = {
    .program = "kvstore",
    .usage = "[OPTION]...",
    .summary = "Serves an elastic store by the Redis protocol: every value on disk, as many as memory is "
               "worth in memory.",
    .options = table,
    .option_count = sizeof table / sizeof table[0],
};

static bool check_address(const char *option, const char *text, bool loopback, struct error *e)
{
    struct net_addr addr;
    struct error why;
    if (text == NULL)
        return true;
    if (!net_addr_parse(text, &addr, &why)) {
        error_set(e, "--%s: %s", option, why.text);
        return false;
    }
    if (loopback && !net_addr_is_loopback(&addr)) {
        error_set(
            e,
            "--%s: found %s, which other machines can reach, expected a loopback address or unix:PATH: the "
            "server has no authentication yet",
            option, text);
        return false;
    }
    return true;
}

bool kvstore_options_check(const struct kvstore_options *o, struct error *e)
{
    const struct scaler_settings *s = &o->elastic;
    if (!check_address("listen", o->listen, true, e) || !check_address("admin", o->admin, false, e) ||
        !scaler_options_policy(s, NULL, NULL, e))
        return false;
    bool has_tls = s->scaleup_cert != NULL && s->scaleup_key != NULL && s->scaleup_ca != NULL;
    if (scaler_options_need_tls(s) && !has_tls) {
        error_set(e, "--scaleup: %s needs --scaleup-cert, --scaleup-key and --scaleup-ca", s->scaleup);
        return false;
    }
    return true;
}
