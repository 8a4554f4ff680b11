// What a run did, for people and as JSON.
#include "tests/soak/soak_check.h"

#include <inttypes.h>
#include <string.h>

static void print_json(FILE *out, struct soak_run *run, double seconds, uint64_t answers)
{
    const struct soak_counts *c = &run->counts;
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {{"seed", run->options.seed},
                   {"differences", atomic_load(&run->differences)},
                   {"answers_checked", answers},
                   {"keys_verified_after_start", atomic_load(&c->keys_verified)},
                   {"whole_scans", atomic_load(&c->scans)},
                   {"errors_tolerated", atomic_load(&c->tolerated)},
                   {"kills", c->kills},
                   {"kills_idle", c->kills_idle},
                   {"kills_closing", c->kills_closing},
                   {"kills_opening", c->kills_opening},
                   {"reopens", c->reopens},
                   {"limit_changes", c->limits},
                   {"limit_us_max", c->limit_us_max},
                   {"resident_over_limit_bytes_max", c->rss_over_max},
                   {"accounted_over_limit_bytes_max", c->memory_over_max},
                   {"searches", c->searches},
                   {"marks_seen", c->marks_seen},
                   {"open_us_max", c->open_us_max},
                   {"recovery_us_max", c->recovery_us_max},
                   {"descriptors_max", c->fds_max},
                   {"threads_max", c->threads_max},
                   {"disk_bytes_max", c->disk_max},
                   {"disk_bytes_end", c->disk_last},
                   {"live_bytes_end", c->live_last}};
    (void)fprintf(out, "{\"seconds\": %.1f", seconds);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        (void)fprintf(out, ", \"%s\": %" PRIu64, numbers[i].name, numbers[i].value);
    (void)fprintf(out, ", \"operations\": {");
    for (unsigned i = 0; i < SOAK_OPS; i++)
        (void)fprintf(out, "%s\"%s\": %" PRIu64, i == 0 ? "" : ", ", soak_op_names[i],
                      atomic_load(&c->ops[i]));
    (void)fprintf(out, "}}\n");
}

void soak_report(struct soak_run *run, double seconds)
{
    uint64_t answers = 0;
    for (uint32_t i = 0; i < run->options.workers; i++)
        answers += run->workers[i].answers_checked;
    FILE *file = run->options.json != NULL ? fopen(run->options.json, "we") : NULL;
    if (file != NULL) {
        print_json(file, run, seconds, answers);
        (void)fclose(file);
    }
    print_json(stdout, run, seconds, answers);
    for (unsigned i = 0; i < SOAK_OPS; i++)
        if (!atomic_load(&run->have[i]))
            (void)printf("left out, the library has none: %s\n", soak_op_names[i]);
    (void)printf("%s: %" PRIu64 " answers, %" PRIu64 " kills, %s\n", soak_failed(run) ? "FAILED" : "ok",
                 answers, run->counts.kills, soak_failed(run) ? "a difference" : "no differences");
}
