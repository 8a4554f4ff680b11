#include "tests/bench/redis/respload_options.h"

#include <stddef.h>
#include <string.h>

#include "common/config_rows.h"

#define AT(field) offsetof(struct respload_options, field)
#define DAY_US    (86400ull * 1000000)

static const struct config_option table[] = {
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
     .help = "Whatever speaks Redis's protocol."},
    CHOICE("operation", operation, "get", "get|set|mixed|load",
           "What is sent. mixed: --read-percent GETs, else SETs. load: every key is set once, in order."),
    NUMBER("read-percent", read_percent, CONFIG_UINT, "N", "90", 0, 100, "mixed: the share of GETs."),
    TEXT("workload", workload, "uniform|zipf[:EXP]|sequential", "uniform",
         "Which keys: all alike; by Zipf's law (exponent over 0 and below 1, 0.99); in order, each thread "
         "its part."),
    NUMBER("keys", keys, CONFIG_UINT, "N", "1000000", 1, 1ull << 40, "How many keys there are."),
    CHOICE("names", names, "benchmark", "benchmark|store",
           "benchmark: key:000000000042, as redis-benchmark -r has them. store: as kvbench has them."),
    NUMBER("key-bytes", key_bytes, CONFIG_UINT, "N", "16", WORKLOAD_KEY_MIN, WORKLOAD_KEY_MAX,
           "Length of a key of --names store."),
    NUMBER("value-bytes", value_bytes, CONFIG_SIZE, "SIZE", "4kb", 0, RESPLOAD_VALUE_MAX,
           "Length of a value."),
    NUMBER("seed", seed, CONFIG_UINT, "N", "1", 0, 0, "Of values and order."),
    NUMBER("connections", connections, CONFIG_UINT, "N", "50", 1, 10000, "Connections in all."),
    NUMBER("pipeline", pipeline, CONFIG_UINT, "N", "1", 1, 4096,
           "Commands under way on a connection: closed loop, so many always; open loop, at most so many."),
    FLAG("rounds", rounds,
         "Closed loop: the next --pipeline commands are sent when all before are answered, as "
         "redis-benchmark -P does."),
    NUMBER("threads", threads, CONFIG_UINT, "N", "1", 1, RESPLOAD_THREADS_MAX,
           "Threads that share the connections."),
    NUMBER(
        "rate", rate, CONFIG_UINT, "N", "0", 0, 10000000,
        "Open loop: so many commands a second in all, due on a constant schedule; latency counts from when "
        "one was due. 0: closed loop."),
    NUMBER("operations", operations, CONFIG_UINT, "N", "0", 0, 0,
           "How many are measured, however long it takes. 0: by --duration."),
    NUMBER("duration", duration, CONFIG_DURATION, "TIME", "10s", 1000, DAY_US, "How long is measured."),
    NUMBER("warm-up", warm_up, CONFIG_DURATION, "TIME", "0s", 0, DAY_US,
           "The same for so long before, not measured."),
    NUMBER("timeout", timeout, CONFIG_DURATION, "TIME", "30s", 1000, DAY_US,
           "A server that answers nothing for so long is given up."),
    FLAG("verify", verify, "Checks every value that comes back."),
    TEXT("json", json, "FILE", NULL, "Writes the result as JSON (- for stdout, in place of the text)."),
};

const struct config_spec respload_options_spec = {
    .program = "bench_respload",
    .usage = "[OPTION]...",
    .summary = "Loads a server of the Redis protocol and costs little itself. Exit status 1 when a command "
               "was not answered as it should be, or none was answered.",
    .options = table,
    .option_count = sizeof table / sizeof table[0],
};

const char *respload_operation_name(unsigned operation)
{
    static const char *const names[] = {"get", "set", "mixed", "load"};
    return names[operation];
}

static bool parse_workload(const char *text, enum workload_order *order, double *theta, struct error *e)
{
    *theta = 0.99;
    *order = WORKLOAD_ZIPF;
    if (strcmp(text, "zipf") == 0)
        return true;
    if (strncmp(text, "zipf:", 5) == 0 && workload_theta_parse(text + 5, theta))
        return true;
    *order = WORKLOAD_UNIFORM;
    if (strcmp(text, "uniform") == 0)
        return true;
    *order = WORKLOAD_SEQUENTIAL;
    if (strcmp(text, "sequential") == 0)
        return true;
    error_set(e,
              "--workload: found \"%.40s\", expected uniform, zipf, zipf:EXPONENT (over 0, below 1) or "
              "sequential",
              text);
    return false;
}

bool respload_options_check(const struct respload_options *options, struct respload_run *run, double *theta,
                            struct error *e)
{
    const struct respload_options *o = options;
    struct error why;
    *run = (struct respload_run){
        .operation = (enum respload_operation)o->operation,
        .read_percent = (unsigned)o->read_percent,
        .threads = (unsigned)(o->threads < o->connections ? o->threads : o->connections),
        .connections = (unsigned)o->connections,
        .pipeline = (unsigned)o->pipeline,
        .rounds = o->rounds,
        .verify = o->verify,
        .seed = o->seed,
        .rate = (double)o->rate,
        .operations = o->operations,
        .warm_up_ns = o->warm_up * 1000,
        .duration_ns = o->duration * 1000,
        .timeout_ns = o->timeout * 1000,
    };
    if (!parse_workload(o->workload != NULL ? o->workload : "", &run->order, theta, e))
        return false;
    if (o->rounds && o->rate != 0)
        error_set(e, "--rounds and --rate: give one of them");
    else if (run->operation == RESPLOAD_LOAD && (o->operations != 0 || o->warm_up != 0))
        error_set(e, "--operation load sets each key once: --operations and --warm-up are not for it");
    else if (o->names == RESPLOAD_BENCHMARK_NAMES && o->keys > RESPLOAD_BENCHMARK_KEYS_MAX)
        error_set(e, "--keys: found %llu, redis-benchmark's names number a million millions",
                  (unsigned long long)o->keys);
    else if (!net_addr_parse(o->server, &run->server, &why))
        error_set(e, "--server: %s", why.text);
    else
        return true;
    return false;
}
