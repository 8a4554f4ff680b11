// cachesim: hit ratios of LRU, ARC, S3-FIFO and SIEVE on a trace, and LRU's exact curve.
#include "tests/bench/store/sim/sim_options.h"

#include <stdlib.h>

static void add_curve(struct sim_results *results, const struct sim_options *options)
{
    size_t points = options->curve;
    uint64_t *bytes = calloc(points, sizeof *bytes);
    double *hits = calloc(points, sizeof *hits);
    if (bytes == NULL || hits == NULL)
        sim_fail("curve", "out of memory");
    for (size_t i = 0; i < points; i++)
        bytes[i] = (uint64_t)((double)results->trace->bytes * (double)(i + 1) / (double)points);
    if (!sim_lru_curve(results->trace, sim_warm_gets(options, results->trace), bytes, points, hits))
        sim_fail("curve", "out of memory");
    results->curve_points = points;
    results->curve_bytes = bytes; // released by exit
    results->curve_hits = hits;
}

static void run(const struct sim_options *options, enum sim_workload workload)
{
    struct sim_trace trace;
    struct sim_results results;
    sim_options_trace(options, workload, &trace);
    sim_results_run(&results, options, &trace,
                    options->trace_in != NULL ? options->trace_in : sim_workload_name(workload));
    if (options->curve > 0)
        add_curve(&results, options);
    sim_results_print(&results, options->json);
    sim_trace_free(&trace);
}

int main(int argc, char **argv)
{
    struct sim_options options;
    sim_options_parse(&options, argc, argv, "Hit ratios of LRU, ARC, S3-FIFO and SIEVE on a trace.\n");
    if (!options.all_workloads)
        run(&options, options.shape.workload);
    for (int w = 0; options.all_workloads && w < SIM_WORKLOADS; w++)
        run(&options, (enum sim_workload)w);
    return 0;
}
