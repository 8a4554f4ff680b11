// Runs the policy over traces and says how it did: as a table, as JSON, as plots; with --check it fails when it did badly.
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "policysim.h"

#define GIB (1024ULL << 20)

// What is asked of every trace.
#define MOST_MISSED   0.01 // of gets, while the size was too small
#define MOST_PER_HOUR 8    // reversals within any hour
#define MOST_PER_DAY  2.0  // reversals an hour on average

// One of each kind of goal; the load decides in three of them.
static const struct policysim_policy policies[] = {
    {"goal", {.hit_goal = 0.95, .min_bytes = 512 << 20, .max_bytes = 9 * GIB}},
    {"device", {.hit_goal = 0.5, .device_reads = 4000, .min_bytes = 512 << 20, .max_bytes = 9 * GIB}},
    {"latency", {.lookup_goal_us = 20, .min_bytes = 512 << 20, .max_bytes = 9 * GIB}},
    {"price", {.gib_hour_price = 1, .miss_price = 0.5, .min_bytes = 512 << 20, .max_bytes = 9 * GIB}},
};
#define POLICIES (sizeof policies / sizeof policies[0])

struct options {
    bool json, plot, check;
    uint64_t days; // made up
    const char *policy;
    struct policysim_machine machine;
    struct policy_config tune; // what is not 0 replaces the policies' own
};

struct totals {
    json_t *runs;
    unsigned bad;
    double memory, needed, oracle, reversals, hours;
};

static void usage(FILE *to)
{
    fputs("usage: policysim [options] [TRACE.csv ...]\n"
          "  --made N            also N made-up days\n"
          "  --policy NAME       goal, device, latency or price only\n"
          "  --json              the result as JSON\n"
          "  --plot              each run as text\n"
          "  --check             fail when a run goes beyond what README.md says\n"
          "  --device-mb N       the device's megabytes a second [400]\n"
          "  --raise-after S     seconds until the orchestrator grants [3]\n"
          "  --curve-error X     share by which the curve's sizes wander [0.03]\n"
          "  --return-after S, --horizon S   of the policy\n",
          to);
}

static bool number(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= 0 && *value < 1e9;
}

static bool set_number(struct options *o, int option, const char *text)
{
    double value;
    if (!number(text, &value))
        return false;
    switch (option) {
    case 'n':
        o->days = (uint64_t)value;
        break;
    case 'd':
        o->machine.device_bytes = value * (1 << 20);
        break;
    case 'r':
        o->machine.raise_seconds = value;
        break;
    case 'e':
        o->machine.curve_error = value;
        break;
    case 'a':
        o->tune.return_after_ms = (uint64_t)(value * 1000);
        break;
    case 'h':
        o->tune.horizon_ms = (uint64_t)(value * 1000);
        break;
    default:
        return false;
    }
    return true;
}

static bool parse(struct options *o, int argc, char **argv)
{
    static const struct option table[] = {{"json", no_argument, NULL, 'j'},
                                          {"plot", no_argument, NULL, 'p'},
                                          {"check", no_argument, NULL, 'c'},
                                          {"made", required_argument, NULL, 'n'},
                                          {"policy", required_argument, NULL, 'y'},
                                          {"device-mb", required_argument, NULL, 'd'},
                                          {"raise-after", required_argument, NULL, 'r'},
                                          {"curve-error", required_argument, NULL, 'e'},
                                          {"return-after", required_argument, NULL, 'a'},
                                          {"horizon", required_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (option == 'j' || option == 'p' || option == 'c')
            *(option == 'j' ? &o->json : option == 'p' ? &o->plot : &o->check) = true;
        else if (option == 'y')
            o->policy = optarg;
        else if (optarg == NULL || !set_number(o, option, optarg))
            return false;
    }
    return true;
}

static double share(double part, double of)
{
    return of > 0 ? part / of : 0;
}

static const char *verdict(const struct policysim_result *r)
{
    if (share(r->missed, r->gets) > MOST_MISSED)
        return "MISSED";
    if (r->worst_hour > MOST_PER_HOUR || r->reversals > 4 + MOST_PER_DAY * r->hours)
        return "OSCILLATES";
    return "pass";
}

static void print(const char *trace, const char *policy, const struct policysim_result *r)
{
    printf("%-16s %-8s %6.0f %8.1f %8.1f %6.1f%% %6.1f%% %7.3f%% %7.3f%% %6u %6u %5u  %s\n", trace, policy,
           r->hours, r->memory, r->oracle, 100 * (share(r->memory, r->oracle) - 1),
           100 * (share(r->memory, r->needed) - 1), 100 * share(r->missed, r->gets),
           100 * share(r->late, r->gets), r->changes, r->reversals, r->worst_hour, verdict(r));
}

static json_t *object(const char *trace, const char *policy, const struct policysim_result *r)
{
    return json_pack("{s:s s:s s:f s:f s:f s:f s:f s:f s:f s:i s:i s:i s:s}", "trace", trace, "policy",
                     policy, "hours", r->hours, "memory_gib_hours", r->memory, "oracle_gib_hours", r->oracle,
                     "needed_gib_hours", r->needed, "missed_share", share(r->missed, r->gets), "late_share",
                     share(r->late, r->gets), "overload_share", share(r->overload, r->gets), "changes",
                     (int)r->changes, "reversals", (int)r->reversals, "worst_hour", (int)r->worst_hour,
                     "verdict", verdict(r));
}

static struct policysim_policy tuned(const struct options *o, const struct policysim_policy *policy)
{
    struct policysim_policy p = *policy;
    if (o->tune.return_after_ms != 0)
        p.config.return_after_ms = o->tune.return_after_ms;
    if (o->tune.horizon_ms != 0)
        p.config.horizon_ms = o->tune.horizon_ms;
    return p;
}

static bool run_trace(const struct options *o, const struct policysim_trace *trace, struct totals *totals)
{
    for (size_t i = 0; i < POLICIES; i++) {
        struct policysim_policy policy = tuned(o, &policies[i]);
        struct policysim_result r;
        if (o->policy != NULL && strcmp(o->policy, policy.name) != 0)
            continue;
        if (!policysim_run(trace, &policy, &o->machine, &r)) {
            report("%s: no memory", trace->name);
            return false;
        }
        if (o->json)
            (void)json_array_append_new(totals->runs, object(trace->name, policy.name, &r));
        else
            print(trace->name, policy.name, &r);
        if (o->plot && !o->json)
            policysim_plot(trace, &policy, &r);
        totals->bad += strcmp(verdict(&r), "pass") != 0;
        totals->memory += r.memory;
        totals->needed += r.needed;
        totals->oracle += r.oracle;
        totals->reversals += r.reversals;
        totals->hours += r.hours;
        policysim_result_free(&r);
    }
    return true;
}

static bool run_all(const struct options *o, char **paths, int count, struct totals *totals)
{
    bool good = true;
    for (int i = 0; i < count && good; i++) {
        struct policysim_trace trace;
        struct error e;
        if (!policysim_trace_read(paths[i], &trace, &e)) {
            report("%s", e.text);
            return false;
        }
        good = run_trace(o, &trace, totals);
        policysim_trace_free(&trace);
    }
    for (uint64_t seed = 1; seed <= o->days && good; seed++) {
        struct policysim_trace trace;
        good = policysim_trace_make(seed, &trace) && run_trace(o, &trace, totals);
        policysim_trace_free(&trace);
    }
    return good;
}

static void print_totals(const struct options *o, const struct totals *t)
{
    double above_oracle = share(t->memory, t->oracle) - 1, above_need = share(t->memory, t->needed) - 1;
    if (!o->json) {
        printf("all: %.0f hours, memory %.1f %% above the oracle's, %.1f %% above what was needed; %.2f "
               "reversals an hour; %u bad\n",
               t->hours, 100 * above_oracle, 100 * above_need, share(t->reversals, t->hours), t->bad);
        return;
    }
    json_t *all = json_pack("{s:O s:f s:f s:f s:f s:i}", "runs", t->runs, "hours", t->hours, "above_oracle",
                            above_oracle, "above_needed", above_need, "reversals_an_hour",
                            share(t->reversals, t->hours), "bad", (int)t->bad);
    (void)json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    (void)putchar('\n');
    json_decref(all);
}

int main(int argc, char **argv)
{
    struct options o = {.machine = {.device_bytes = 400 << 20,
                                    .device_reads = 20000,
                                    .raise_seconds = 3,
                                    .return_seconds = 2,
                                    .curve_error = 0.03,
                                    .curve_seconds = 60}};
    struct totals totals = {.runs = json_array()};
    report_set_program("policysim");
    if (!parse(&o, argc, argv) || (optind == argc && o.days == 0)) {
        usage(stderr);
        json_decref(totals.runs);
        return EXIT_USAGE;
    }
    if (!o.json)
        printf("%-16s %-8s %6s %8s %8s %7s %7s %8s %8s %6s %6s %5s\n", "trace", "policy", "hours", "GiB h",
               "oracle", "above", ">need", "missed", "late", "change", "revers", "/hour");
    bool good = run_all(&o, argv + optind, argc - optind, &totals);
    if (good)
        print_totals(&o, &totals);
    json_decref(totals.runs);
    return good && !(o.check && totals.bad > 0) ? EXIT_DONE : EXIT_FAILED;
}
