#include "kvstore/kvbench_options.h"

#include <stdlib.h>
#include <string.h>

#include "common/config_rows.h"
#include "common/units.h"
#include "kvstore/kv.h"

static const char OPERATIONS[] = "load|get|view|batch|async|mixed|open";
static const char WORKLOADS[] = "sequential|uniform|zipf|scan";

#define AT(field) offsetof(struct bench_options, field)

static const struct config_option table[] = {
    {.name = "config",
     .type = CONFIG_FILE,
     .offset = AT(config),
     .arg = "FILE",
     .help = "INI file with these options."},
    CHOICE("operation", operation, "get", OPERATIONS,
           "What is measured. load: put every key once, in order. get: one at a time into a buffer. view: a "
           "borrowed view, no "
           "copy. batch: --depth gets in one call. async: --depth gets under way. mixed: --read-percent "
           "gets, else puts. open: "
           "opening only."),
    CHOICE("workload", workload, "uniform", WORKLOADS,
           "Which keys. scan: all of them, as the store's own walk gives them."),
    TEXT("theta", theta_text, "X", "0.99", "Skew of the Zipf workload, over 0 and below 1."),
    NUMBER("keys", keys, CONFIG_UINT, "N", "1000000", 1, 1000000000, "Keys in the store."),
    NUMBER("key-bytes", key_bytes, CONFIG_UINT, "N", "16", WORKLOAD_KEY_MIN, WORKLOAD_KEY_MAX,
           "Length of a key."),
    TEXT("value-bytes", value_text, "N or A:B", "4kb",
         "Length of a value; A:B: between A and B, log-uniform, as the key decides."),
    NUMBER("threads", threads, CONFIG_UINT, "N", "1", 1, BENCH_THREADS_MAX, "Threads that ask."),
    NUMBER("depth", depth, CONFIG_UINT, "N", "32", 1, BENCH_DEPTH_MAX,
           "batch: gets in a call. async: gets under way, of each thread."),
    NUMBER("load-depth", load_depth, CONFIG_UINT, "N", "64", 1, BENCH_DEPTH_MAX,
           "Puts in a call while loading; 1: kv_put()."),
    NUMBER("read-percent", read_percent, CONFIG_UINT, "N", "90", 0, 100,
           "mixed: the share of gets; a put writes the key's value again."),
    NUMBER("memory", memory, CONFIG_SIZE, "SIZE", "1gb", 0, 0, "The store's memory limit."),
    TEXT("memory-schedule", schedule_text, "TIME=SIZE,...", NULL,
         "Changes of the limit while measuring, e.g. 0s=400mb,10s=4gb,20s=400mb."),
    NUMBER("rate", rate, CONFIG_UINT, "N", "0", 0, 100000000,
           "Open loop: operations a second in all, due on a constant schedule; latency counts from when one "
           "was due, so that "
           "a stall is paid by all that it held up (no coordinated omission). 0: closed loop."),
    NUMBER("duration", duration, CONFIG_DURATION, "TIME", "10s", 1000, 0,
           "How long is measured, unless --operations come first."),
    NUMBER("operations", operations, CONFIG_UINT, "N", "0", 0, 0,
           "How many are measured, however long it takes; 0: by --duration."),
    NUMBER("warm-up", warm_up, CONFIG_DURATION, "TIME", "0s", 0, 0,
           "The same for so long before, not measured."),
    FLAG("touch", touch,
         "Reads every value once before all else, so that what can be in memory is there and mapped."),
    NUMBER("seed", seed, CONFIG_UINT, "N", "1", 0, 0, "Of everything random, the values too."),
    TEXT("dir", dir, "DIR", NULL,
         "Where the store is made, a folder that does not exist or is empty; default: a new one under TMPDIR "
         "or /var/tmp. Removed at the "
         "end."),
    FLAG("keep", keep, "Leaves --dir for --existing."),
    TEXT("existing", existing, "DIR", NULL,
         "Uses a store that --keep left, of the same keys, value lengths and seed, in place of loading one."),
    FLAG("kill", kill,
         "Ends by SIGKILL, with the store open, after the report: what --existing opens then has crashed."),
    CHOICE("fsync", fsync, "interval", "always|interval|never", "When what is written is synced."),
    NUMBER("fsync-interval", fsync_interval, CONFIG_DURATION, "TIME", "1s", 1000, 3600000000u,
           "Of --fsync interval."),
    NUMBER("segment-bytes", segment_bytes, CONFIG_SIZE, "SIZE", "0", 0, 0,
           "Of a segment file; 0: the store's choice."),
    NUMBER("latency-goal", latency_goal, CONFIG_DURATION, "TIME", "0s", 0, 0,
           "Gets slower than this slow down the warming after a raised limit; 0: no goal."),
    CHOICE("read-mode", read_mode, "auto", "auto|uring|pread", "How the disk is read."),
    FLAG("buffered", buffered, "Through the page cache, not O_DIRECT."),
    FLAG("verify", verify, "Checks every value that comes back; exit status 1 when one is wrong."),
    FLAG("no-bring-back", no_bring_back, "After a raised limit values come back only as they are asked for."),
    FLAG("clear-cache", clear_cache, "Drops the store's files from the page cache before measuring."),
    FLAG("no-latency", no_latency, "No clock around operations: for rates of fast ones."),
    NUMBER("interval", interval, CONFIG_DURATION, "TIME", "100ms", 1000, 60000000,
           "Step of the time series."),
    TEXT("json", json, "FILE", NULL, "Writes the result as JSON (- for stdout, in place of the text)."),
    FLAG("quiet", quiet, "No live line on a terminal."),
};

static struct config_spec spec_of(const char *program, const char *summary)
{
    return (struct config_spec){.program = program,
                                .usage = "[OPTION]...",
                                .summary = summary,
                                .options = table,
                                .option_count = sizeof table / sizeof table[0]};
}

// The index-th of "a|b|c", in a static buffer for each list.
static const char *choice_name(const char *choices, unsigned index, char *buf, size_t len)
{
    for (; index > 0; index--)
        choices = strchr(choices, '|') + 1;
    size_t n = strcspn(choices, "|");
    (void)snprintf(buf, len, "%.*s", (int)n, choices);
    return buf;
}

const char *bench_operation_name(const struct bench_options *options)
{
    static char name[16];
    return choice_name(OPERATIONS, options->operation, name, sizeof name);
}

const char *bench_workload_name(const struct bench_options *options)
{
    static char name[16];
    return choice_name(WORKLOADS, options->workload, name, sizeof name);
}

bool bench_parse_value_bytes(const char *text, size_t *min, size_t *max, struct error *e)
{
    char low[32];
    const char *colon = strchr(text, ':');
    uint64_t a, b;
    size_t n = colon != NULL ? (size_t)(colon - text) : strlen(text);
    (void)snprintf(low, sizeof low, "%.*s", (int)(n < sizeof low ? n : sizeof low - 1), text);
    if (n >= sizeof low || !units_parse_size(low, &a) ||
        (colon != NULL && !units_parse_size(colon + 1, &b))) {
        error_set(e, "--value-bytes: found \"%s\", expected N or A:B", text);
        return false;
    }
    if (colon == NULL)
        b = a;
    if (a > b || b > KV_VALUE_MAX) {
        error_set(e, "--value-bytes: found \"%s\", expected A <= B <= 512mb", text);
        return false;
    }
    *min = a;
    *max = b;
    return true;
}

static bool parse_change(char *item, struct bench_change *change)
{
    char *equals = strchr(item, '=');
    if (equals == NULL)
        return false;
    *equals = '\0';
    return units_parse_duration(item, &change->at_us) && units_parse_size(equals + 1, &change->limit_bytes);
}

bool bench_parse_schedule(const char *text, struct bench_change *changes, size_t *count, struct error *e)
{
    char *copy = strdup(text), *rest = copy;
    bool ok = copy != NULL;
    *count = 0;
    for (char *item; ok && (item = strsep(&rest, ",")) != NULL; (*count)++)
        ok = *count < BENCH_CHANGES_MAX && parse_change(item, &changes[*count]) &&
             (*count == 0 || changes[*count].at_us > changes[*count - 1].at_us);
    free(copy);
    if (!ok)
        error_set(e, "--memory-schedule: found \"%s\", expected TIME=SIZE,TIME=SIZE,... with ascending times",
                  text);
    return ok;
}

static bool parse_theta(const char *text, double *theta, struct error *e)
{
    if (workload_theta_parse(text, theta))
        return true;
    error_set(e, "--theta: found \"%s\", expected a number over 0 and below 1", text);
    return false;
}

// A change at once is the limit to begin with.
static void take_first_change(struct bench_options *options)
{
    if (options->change_count == 0 || options->changes[0].at_us != 0)
        return;
    options->memory = options->changes[0].limit_bytes;
    options->change_count--;
    memmove(options->changes, options->changes + 1, options->change_count * sizeof options->changes[0]);
}

static bool work_out(struct bench_options *o, struct error *e)
{
    if (!parse_theta(o->theta_text, &o->theta, e) ||
        !bench_parse_value_bytes(o->value_text, &o->value_min, &o->value_max, e))
        return false;
    if (o->schedule_text != NULL && !bench_parse_schedule(o->schedule_text, o->changes, &o->change_count, e))
        return false;
    take_first_change(o);
    const char *why = NULL;
    if (o->existing != NULL && o->dir != NULL)
        why = "--existing and --dir: give one of them";
    else if (o->existing != NULL && o->operation == BENCH_LOAD)
        why = "--operation load makes a store: --existing does not go with it";
    else if (o->existing == NULL && o->operation == BENCH_OPEN)
        why = "--operation open: needs --existing";
    else if (o->operation == BENCH_LOAD && o->rate != 0)
        why = "--operation load: runs in a closed loop, without --rate";
    else if (o->rate != 0 && o->no_latency)
        why = "--rate and --no-latency: give one of them";
    if (why != NULL)
        error_set(e, "%s", why);
    return why == NULL;
}

enum config_result bench_options_read(const char *program, const char *summary, int argc, char *const *argv,
                                      struct bench_options *options)
{
    struct config_spec spec = spec_of(program, summary);
    struct error e = {{0}};
    *options = (struct bench_options){0};
    enum config_result result = config_read(&spec, argc, argv, options, NULL);
    if (result != CONFIG_OK)
        return result;
    if (work_out(options, &e))
        return CONFIG_OK;
    report("%s", e.text);
    bench_options_release(options);
    return CONFIG_USAGE;
}

void bench_options_release(struct bench_options *options)
{
    struct config_spec spec = spec_of("", "");
    config_release(&spec, options, NULL);
}
