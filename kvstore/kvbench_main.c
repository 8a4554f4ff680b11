// What the programs have in common: from the command line to the exit status.
#include "kvstore/kvbench_report.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "kvstore/kvbench_clock.h"

static void on_signal(int number)
{
    (void)number;
    bench_interrupted = true;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

static bool write_json(const struct bench_run *run, const char *path)
{
    bool to_stdout = strcmp(path, "-") == 0;
    FILE *out = to_stdout ? stdout : fopen(path, "w");
    if (out == NULL) {
        report("%s: create: %s", path, strerror(errno));
        return false;
    }
    bool ok = bench_print_json(run, out);
    if ((to_stdout ? fflush(out) : fclose(out)) != 0)
        ok = false;
    if (!ok)
        report("%s: write: %s", path, strerror(errno));
    return ok;
}

// The verdict: everything asked was answered, and rightly.
static bool conclude(const struct bench_run *run)
{
    const char *json = run->options->json;
    const struct bench_counts *c = &run->measured.counts;
    if (json == NULL || strcmp(json, "-") != 0)
        bench_print_text(run, stdout);
    if (json != NULL && !write_json(run, json))
        return false;
    if (c->failed + c->wrong + c->not_found == 0)
        return true;
    char text[256] = "";
    run->class->error_text(run->target, text, sizeof text);
    report("%llu failed, %llu wrong, %llu not found%s%s", (unsigned long long)c->failed,
           (unsigned long long)c->wrong, (unsigned long long)c->not_found, text[0] != '\0' ? ": " : "", text);
    return false;
}

static int run_and_report(const struct bench_options *options, const struct bench_target_class *class)
{
    static struct bench_run run;
    struct error e = {{0}};
    bool ok = bench_run(&run, options, class, &e);
    if (!ok)
        report("%s", e.text);
    else
        ok = conclude(&run);
    if (ok && options->kill) {
        (void)fflush(NULL);
        (void)raise(SIGKILL);
    }
    if (!bench_run_close(&run, &e)) {
        report("%s", e.text);
        ok = false;
    }
    return ok ? EXIT_DONE : EXIT_FAILED;
}

int bench_main(int argc, char **argv, const struct bench_target_class *class)
{
    struct bench_options options;
    report_set_program(class->program);
    enum config_result result = bench_options_read(class->program, class->summary, argc, argv, &options);
    if (result != CONFIG_OK)
        return result == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    bench_clock_start();
    catch_signals();
    int status = run_and_report(&options, class);
    bench_options_release(&options);
    return status;
}
