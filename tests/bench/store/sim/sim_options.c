#include "tests/bench/store/sim/sim_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *program;

void sim_fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "%s: %s: %s\n", program, what, why);
    exit(1);
}

static void usage_error(const char *option, const char *value)
{
    (void)fprintf(stderr, "%s: --%s: not understood: %s\n", program, option, value);
    exit(2);
}

enum {
    WORKLOAD = 1,
    KEYS,
    SIZE,
    GETS,
    SEED,
    SKEW,
    PERCENTS,
    WARM,
    CURVE,
    TRACE,
    WRITE_TRACE,
    DIR,
    JSON,
    HELP
};

static const struct option LONG[] = {{"workload", required_argument, NULL, WORKLOAD},
                                     {"keys", required_argument, NULL, KEYS},
                                     {"size", required_argument, NULL, SIZE},
                                     {"gets", required_argument, NULL, GETS},
                                     {"seed", required_argument, NULL, SEED},
                                     {"skew", required_argument, NULL, SKEW},
                                     {"percents", required_argument, NULL, PERCENTS},
                                     {"warm-up", required_argument, NULL, WARM},
                                     {"curve", required_argument, NULL, CURVE},
                                     {"trace", required_argument, NULL, TRACE},
                                     {"write-trace", required_argument, NULL, WRITE_TRACE},
                                     {"dir", required_argument, NULL, DIR},
                                     {"json", no_argument, NULL, JSON},
                                     {"help", no_argument, NULL, HELP},
                                     {0}};

static const char HELP_TEXT[] =
    "  --workload W        zipf, scan, mixed, or all (default)\n"
    "  --keys N            popular keys (100000); the scan workload has one-off keys on top\n"
    "  --size BYTES        of a key in memory (4096); mixed: about the mean\n"
    "  --gets N            (2000000)\n"
    "  --seed N            (1)\n"
    "  --skew S            of Zipf's law (0.99)\n"
    "  --percents LIST     memory in percent of all values (1,5,10,25,50)\n"
    "  --warm-up PERCENT   of the gets that are not counted (25)\n"
    "  --curve POINTS      print LRU's exact curve too\n"
    "  --trace FILE        read the gets from a file instead\n"
    "  --write-trace FILE  write them to one (with one workload)\n"
    "  --dir FOLDER        where stores are made (storesim; TMPDIR or /tmp)\n"
    "  --json              one JSON object a workload, a line each\n";

static uint64_t number(const char *option, const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || n < least || n > most)
        usage_error(option, text);
    return n;
}

static double decimal(const char *option, const char *text, char **end, double most)
{
    double d = strtod(text, end);
    if (*end == text || !(d > 0 && d <= most))
        usage_error(option, text);
    return d;
}

static void parse_workload(struct sim_options *options, const char *text)
{
    options->all_workloads = strcmp(text, "all") == 0;
    if (options->all_workloads)
        return;
    for (int w = 0; w < SIM_WORKLOADS; w++) {
        if (strcmp(text, sim_workload_name((enum sim_workload)w)) == 0) {
            options->shape.workload = (enum sim_workload)w;
            return;
        }
    }
    usage_error("workload", text);
}

static void parse_percents(struct sim_options *options, const char *text)
{
    char *at;
    options->percent_count = 0;
    for (const char *from = text;; from = at + 1) {
        if (options->percent_count == SIM_PERCENTS)
            usage_error("percents", text);
        options->percents[options->percent_count++] = decimal("percents", from, &at, 100);
        if (*at == '\0')
            return;
        if (*at != ',')
            usage_error("percents", text);
    }
}

static void parse_one(struct sim_options *options, int option)
{
    char *end;
    switch (option) {
    case WORKLOAD:
        parse_workload(options, optarg);
        break;
    case KEYS:
        options->shape.keys = (uint32_t)number("keys", optarg, 1, 1u << 30);
        break;
    case SIZE:
        options->shape.size = (uint32_t)number("size", optarg, 64, 1u << 24);
        break;
    case GETS:
        options->shape.gets = number("gets", optarg, 1, 1ull << 32);
        break;
    case SEED:
        options->shape.seed = number("seed", optarg, 0, UINT64_MAX);
        break;
    case SKEW:
        options->shape.skew = decimal("skew", optarg, &end, 10);
        break;
    case PERCENTS:
        parse_percents(options, optarg);
        break;
    case WARM:
        options->warm_percent = (unsigned)number("warm-up", optarg, 0, 99);
        break;
    case CURVE:
        options->curve = number("curve", optarg, 1, 100000);
        break;
    case TRACE:
        options->trace_in = optarg;
        options->all_workloads = false;
        break;
    case WRITE_TRACE:
        options->trace_out = optarg;
        break;
    case DIR:
        options->dir = optarg;
        break;
    case JSON:
        options->json = true;
        break;
    default:
        exit(2);
    }
}

void sim_options_parse(struct sim_options *options, int argc, char **argv, const char *what)
{
    program = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
    const char *tmp = getenv("TMPDIR");
    *options = (struct sim_options){
        .shape = {.keys = 100000, .size = 4096, .gets = 2000000, .seed = 1},
        .all_workloads = true,
        .dir = tmp != NULL ? tmp : "/tmp",
        .percents = {1, 5, 10, 25, 50},
        .percent_count = 5,
        .warm_percent = 25,
    };
    for (int option; (option = getopt_long(argc, argv, "", LONG, NULL)) != -1;) {
        if (option == HELP) {
            (void)printf("usage: %s [options]\n%s\n%s", program, what, HELP_TEXT);
            exit(0);
        }
        parse_one(options, option);
    }
    if (optind < argc)
        usage_error("help", argv[optind]);
    if (options->trace_out != NULL && options->all_workloads)
        usage_error("write-trace", "which --workload?");
}

void sim_options_trace(const struct sim_options *options, enum sim_workload workload, struct sim_trace *trace)
{
    struct sim_shape shape = options->shape;
    shape.workload = workload;
    if (options->trace_in != NULL) {
        int error = sim_trace_read(trace, options->trace_in);
        if (error != 0)
            sim_fail(options->trace_in, strerror(error));
    } else if (!sim_trace_make(trace, &shape)) {
        sim_fail("trace", "out of memory");
    }
    if (options->trace_out != NULL) {
        int error = sim_trace_write(trace, options->trace_out);
        if (error != 0)
            sim_fail(options->trace_out, strerror(error));
    }
}

uint64_t sim_capacity(const struct sim_trace *trace, double percent)
{
    return (uint64_t)((double)trace->bytes * percent / 100);
}

size_t sim_warm_gets(const struct sim_options *options, const struct sim_trace *trace)
{
    return trace->count / 100 * options->warm_percent;
}

void sim_results_run(struct sim_results *results, const struct sim_options *options,
                     const struct sim_trace *trace, const char *workload)
{
    *results = (struct sim_results){
        .workload = workload, .trace = trace, .columns = SIM_POLICIES, .rows = options->percent_count};
    for (size_t p = 0; p < SIM_POLICIES; p++)
        results->names[p] = sim_policies[p]->name;
    for (size_t row = 0; row < results->rows; row++) {
        results->percents[row] = options->percents[row];
        uint64_t capacity = sim_capacity(trace, options->percents[row]);
        for (size_t p = 0; p < SIM_POLICIES; p++) {
            double hits = sim_run(sim_policies[p], trace, capacity, sim_warm_gets(options, trace));
            if (hits < 0)
                sim_fail("simulation", "out of memory");
            results->hits[row][p] = hits;
        }
    }
}

static double best_of(const struct sim_results *results, size_t row)
{
    double best = 0;
    for (size_t p = 0; p < SIM_POLICIES; p++)
        best = results->hits[row][p] > best ? results->hits[row][p] : best;
    return best;
}

static void print_json(const struct sim_results *results)
{
    (void)printf("{\"workload\":\"%s\",\"gets\":%zu,\"keys\":%u,\"bytes\":%llu,\"sizes\":[",
                 results->workload, results->trace->count, results->trace->keys,
                 (unsigned long long)results->trace->bytes);
    for (size_t row = 0; row < results->rows; row++) {
        (void)printf("%s{\"percent\":%g,\"capacity_bytes\":%llu,\"policies\":[", row > 0 ? "," : "",
                     results->percents[row],
                     (unsigned long long)sim_capacity(results->trace, results->percents[row]));
        for (size_t p = 0; p < results->columns; p++)
            (void)printf("%s{\"policy\":\"%s\",\"hit_ratio\":%.5f,\"below_best\":%.5f}", p > 0 ? "," : "",
                         results->names[p], results->hits[row][p],
                         best_of(results, row) - results->hits[row][p]);
        (void)printf("]}");
    }
    (void)printf("]");
    if (results->curve_points > 0)
        (void)printf(",\"lru_curve\":[");
    for (size_t i = 0; i < results->curve_points; i++)
        (void)printf("%s[%llu,%.5f]", i > 0 ? "," : "", (unsigned long long)results->curve_bytes[i],
                     results->curve_hits[i]);
    (void)printf("%s}\n", results->curve_points > 0 ? "]" : "");
}

static void print_table(const struct sim_results *results)
{
    (void)printf("%s: %zu gets of %u keys, %.1f MB; hit ratio in %%\n%8s", results->workload,
                 results->trace->count, results->trace->keys, (double)results->trace->bytes / 1e6, "memory");
    for (size_t p = 0; p < results->columns; p++)
        (void)printf(" %9s", results->names[p]);
    (void)printf("%s\n", results->columns > SIM_POLICIES ? "  below the best of the others" : "");
    for (size_t row = 0; row < results->rows; row++) {
        (void)printf("%7g%%", results->percents[row]);
        for (size_t p = 0; p < results->columns; p++)
            (void)printf(" %9.2f", results->hits[row][p] * 100);
        if (results->columns > SIM_POLICIES)
            (void)printf(" %9.2f", (best_of(results, row) - results->hits[row][SIM_POLICIES]) * 100);
        (void)printf("\n");
    }
    for (size_t i = 0; i < results->curve_points; i++)
        (void)printf("LRU %12llu %7.2f\n", (unsigned long long)results->curve_bytes[i],
                     results->curve_hits[i] * 100);
}

void sim_results_print(const struct sim_results *results, bool json)
{
    if (json)
        print_json(results);
    else
        print_table(results);
    (void)fflush(stdout);
}
