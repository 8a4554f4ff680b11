// bench_respload: GETs and SETs for a server of the Redis protocol, from a client that costs little.
#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "tests/bench/redis/respload_report.h"

// The workers, once they are all connected: the run. False and *e set: it did not begin.
static bool let_run(struct respload_run *run, const struct respload_worker *workers, struct error *e)
{
    bool connected = true;
    (void)pthread_barrier_wait(&run->gate);
    for (unsigned i = 0; i < run->threads && connected; i++)
        if (!workers[i].connected) {
            error_set(e, "%s", workers[i].trouble);
            connected = false;
        }
    run->start_ns = connected ? clock_ns() : 0;
    (void)pthread_barrier_wait(&run->gate);
    return connected;
}

static bool run_workers(struct respload_run *run, struct respload_result *result, struct error *e)
{
    static struct respload_worker workers[RESPLOAD_THREADS_MAX];
    int error = pthread_barrier_init(&run->gate, NULL, run->threads + 1);
    if (error != 0) {
        error_set(e, "barrier: %s", strerror(error));
        return false;
    }
    for (unsigned i = 0; i < run->threads; i++)
        if (!respload_worker_start(&workers[i], run, i, e))
            return false; // those before wait at the gate for ever: the program ends, and they with it
    bool good = let_run(run, workers, e);
    for (unsigned i = 0; i < run->threads; i++) {
        respload_worker_join(&workers[i]);
        respload_result_add(result, &workers[i]);
        respload_worker_release(&workers[i]);
    }
    (void)pthread_barrier_destroy(&run->gate);
    respload_result_close(result, run);
    return good;
}

static bool write_json(const struct respload_result *result, const struct respload_options *options)
{
    bool to_stdout = strcmp(options->json, "-") == 0;
    FILE *out = to_stdout ? stdout : fopen(options->json, "w");
    if (out == NULL) {
        report("%s: create: %s", options->json, strerror(errno));
        return false;
    }
    bool good = respload_print_json(result, options, out);
    if ((to_stdout ? fflush(out) : fclose(out)) != 0)
        good = false;
    if (!good)
        report("%s: write: %s", options->json, strerror(errno));
    return good;
}

static bool conclude(const struct respload_result *result, const struct respload_options *options)
{
    if (options->json == NULL || strcmp(options->json, "-") != 0)
        respload_print_text(result, stdout);
    if (options->json != NULL && !write_json(result, options))
        return false;
    if (respload_result_is_good(result))
        return true;
    report("not all was answered as it should be%s%s", result->trouble[0] != '\0' ? ": " : "",
           result->trouble);
    return false;
}

static int run_and_report(const struct respload_options *options)
{
    static struct respload_run run;
    struct respload_form form;
    struct respload_result result = {0};
    struct workload_keyspace space = {0};
    struct error e = {{0}};
    double theta;
    int status = EXIT_USAGE;
    if (!respload_options_check(options, &run, &theta, &e))
        goto out;
    if (!workload_keyspace_init(&space, options->keys, options->key_bytes, options->value_bytes,
                                options->value_bytes, theta, options->seed) ||
        !respload_form_init(&form, &space, (enum respload_names)options->names)) {
        error_set(&e, "--keys: %llu do not fit into keys of %llu bytes, or no memory",
                  (unsigned long long)options->keys, (unsigned long long)options->key_bytes);
        goto out;
    }
    status = EXIT_FAILED;
    run.form = &form;
    if (!respload_result_init(&result))
        error_set(&e, "no memory");
    else if (run_workers(&run, &result, &e) && conclude(&result, options))
        status = EXIT_DONE;
out:
    if (e.text[0] != '\0')
        report("%s", e.text);
    respload_result_release(&result);
    workload_keyspace_destroy(&space);
    return status;
}

int main(int argc, char **argv)
{
    struct respload_options options = {0};
    report_set_program("bench_respload");
    enum config_result read = config_read(&respload_options_spec, argc, argv, &options, NULL);
    if (read != CONFIG_OK)
        return read == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    int status = run_and_report(&options);
    config_release(&respload_options_spec, &options, NULL);
    return status;
}
