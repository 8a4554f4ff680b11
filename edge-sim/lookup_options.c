#include "edge-sim/lookup_options.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "common/workload.h"

#define AT(field) offsetof(struct lookup_options, field)
static const struct config_option options[] = {
    {.name = "config",
     .type = CONFIG_FILE,
     .offset = AT(config),
     .arg = "FILE",
     .help = "INI file with these options."},
    {.name = "server",
     .type = CONFIG_STRING,
     .offset = AT(server),
     .arg = "ADDR:PORT|unix:PATH",
     .required = true,
     .help = "The server to load: kvstore, Redis, whatever speaks its protocol."},
    {.name = "keys",
     .type = CONFIG_UINT,
     .offset = AT(keys),
     .arg = "N",
     .preset = "100000",
     .min = 1,
     .max = 1ull << 40,
     .help = "How many keys there are. Key and value are functions of the key's number and the seed."},
    {.name = "key-bytes",
     .type = CONFIG_UINT,
     .offset = AT(key_bytes),
     .arg = "N",
     .preset = "16",
     .min = WORKLOAD_KEY_MIN,
     .max = WORKLOAD_KEY_MAX,
     .help = "Length of a key."},
    {.name = "value-bytes",
     .type = CONFIG_SIZE,
     .offset = AT(value_bytes),
     .arg = "SIZE",
     .preset = "4kb",
     .max = 64u << 20,
     .help = "Length of a value."},
    {.name = "seed",
     .type = CONFIG_UINT,
     .offset = AT(seed),
     .arg = "N",
     .preset = "1",
     .help = "Another seed: other values, another order."},
    {.name = "stream",
     .type = CONFIG_UINT,
     .offset = AT(stream),
     .arg = "N",
     .preset = "0",
     .help =
         "Another stream: other lookups of the same workload, for the same keys and values. A run with the "
         "stream of the one before begins with the same lookups, which memory may hold by then."},
    {.name = "fill",
     .type = CONFIG_FLAG,
     .offset = AT(fill),
     .help = "SET all keys first. With --duration 0s nothing else is done."},
    {.name = "verify",
     .type = CONFIG_FLAG,
     .offset = AT(verify),
     .help = "Compare every value with what it must be. Without it any value counts as right."},
    {.name = "workload",
     .type = CONFIG_STRING,
     .offset = AT(workload),
     .arg = "uniform|zipf[:EXP]|hot[:PERCENT]",
     .preset = "zipf",
     .help = "Which keys are asked for: all alike; by Zipf's law (exponent over 0 and below 1, 0.99); nine "
             "of ten "
             "lookups for PERCENT of the keys (10)."},
    {.name = "rate",
     .type = CONFIG_UINT,
     .offset = AT(rate),
     .arg = "N",
     .preset = "0",
     .max = LOOKUP_RATE_MAX,
     .help = "Open loop: so many lookups a second in all, due on a constant schedule; latency counts from "
             "when one was "
             "due. 0: closed loop."},
    {.name = "schedule",
     .type = CONFIG_STRING,
     .offset = AT(schedule),
     .arg = "TIME=RATE,...",
     .help = "Open loop whose rate changes: 0s=1000,10s=20000,30s~5000 begins with 1000 a second, goes to "
             "20000 after "
             "10 s, and from there in a straight line to 5000 at 30 s."},
    {.name = "duration",
     .type = CONFIG_DURATION,
     .offset = AT(duration),
     .arg = "TIME",
     .preset = "10s",
     .max = 30 * 86400 * CONFIG_SECOND,
     .help = "For how long lookups are sent."},
    {.name = "connections",
     .type = CONFIG_UINT,
     .offset = AT(connections),
     .arg = "N",
     .preset = "32",
     .min = 1,
     .max = 10000,
     .help = "Connections in all."},
    {.name = "pipeline",
     .type = CONFIG_UINT,
     .offset = AT(pipeline),
     .arg = "N",
     .preset = "1",
     .min = 1,
     .max = 4096,
     .help =
         "Lookups under way on each connection: closed loop, so many always; open loop, at most so many."},
    {.name = "threads",
     .type = CONFIG_UINT,
     .offset = AT(threads),
     .arg = "N",
     .preset = "1",
     .min = 1,
     .max = LOOKUP_THREADS_MAX,
     .help = "Threads that share the connections."},
    {.name = "goal",
     .type = CONFIG_DURATION,
     .offset = AT(goal),
     .arg = "TIME",
     .preset = "5ms",
     .min = 1,
     .max = 3600 * CONFIG_SECOND,
     .help = "Right answers slower than this are counted."},
    {.name = "interval",
     .type = CONFIG_DURATION,
     .offset = AT(interval),
     .arg = "TIME",
     .preset = "1s",
     .min = 10000,
     .max = 3600 * CONFIG_SECOND,
     .help = "Of the time series in the JSON."},
    {.name = "json",
     .type = CONFIG_STRING,
     .offset = AT(json),
     .arg = "FILE",
     .help = "Write the result as JSON (- for stdout, in place of the text)."},
    {.name = "quiet", .type = CONFIG_FLAG, .offset = AT(quiet), .help = "No live line on a terminal."},
};

const struct config_spec lookup_options_spec = {
    .program = "edge-sim load lookup",
    .usage = "[OPTION]...",
    .summary = "Loads a server of the Redis protocol with GETs, at a rate that may change, and reports rates "
               "and latencies "
               "over time. Exit status 1 when a lookup failed or none was right.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
};

static bool parse_percent(const char *text, unsigned *percent)
{
    uint64_t n;
    if (!units_parse_uint(text, &n) || n < 1 || n > 100)
        return false;
    *percent = (unsigned)n;
    return true;
}

bool lookup_workload_parse(const char *text, struct lookup_workload *workload, struct error *e)
{
    *workload = (struct lookup_workload){.order = LOOKUP_UNIFORM, .theta = 0.99, .hot_percent = 10};
    if (strcmp(text, "uniform") == 0)
        return true;
    workload->order = LOOKUP_ZIPF;
    if (strcmp(text, "zipf") == 0 ||
        (strncmp(text, "zipf:", 5) == 0 && workload_theta_parse(text + 5, &workload->theta)))
        return true;
    workload->order = LOOKUP_HOT;
    if (strcmp(text, "hot") == 0 ||
        (strncmp(text, "hot:", 4) == 0 && parse_percent(text + 4, &workload->hot_percent)))
        return true;
    error_set(e,
              "found %.40s, expected uniform, zipf or zipf:EXPONENT (over 0, below 1), hot or hot:PERCENT (1 "
              "to 100)",
              text);
    return false;
}

bool lookup_options_check(const struct lookup_options *o, struct net_addr *server,
                          struct lookup_workload *workload, struct lookup_schedule *schedule, bool *open,
                          struct error *e)
{
    struct error why;
    if (!net_addr_parse_option("server", o->server, server, e))
        return false;
    if (!lookup_workload_parse(o->workload != NULL ? o->workload : "", workload, &why)) {
        error_set(e, "--workload: %s", why.text);
        return false;
    }
    *open = o->schedule != NULL || o->rate != 0;
    if (o->schedule != NULL && o->rate != 0) {
        error_set(e, "--rate and --schedule: give one of them");
        return false;
    }
    if (o->schedule != NULL && !lookup_schedule_parse(o->schedule, schedule, &why)) {
        error_set(e, "--schedule: %s", why.text);
        return false;
    }
    if (o->schedule == NULL)
        lookup_schedule_constant(schedule, o->rate);
    if (o->duration == 0 && !o->fill) {
        error_set(e, "--duration: found 0 without --fill: there is nothing to do");
        return false;
    }
    return true;
}
