// kvstore: wiring only. Options, modules up in order, run until a signal, modules down in reverse.
#include <event2/event.h>
#include <event2/thread.h>
#include <stdio.h>

#include "common/daemon.h"
#include "common/log.h"
#include "common/report.h"
#include "common/secmem.h"
#include "kvstore/kvstore_daemon.h"

struct program {
    int argc;
    char **argv;
    struct kvstore_options options;
    struct kvstore_daemon daemon;
    struct event_base *base;
};

// Options are read anew; log level, memory limit, password and certificates taken over; on any fault all stays as it is.
static void reload(void *arg)
{
    struct program *p = arg;
    struct kvstore_options fresh = {0};
    if (!daemon_options_reread(&kvstore_options_spec, p->argc, p->argv, &fresh))
        return;
    kvstore_daemon_reload(&p->daemon, &fresh);
    log_set_level((enum log_level)fresh.log_level);
    config_release(&kvstore_options_spec, &fresh, NULL);
}

static void stop(void *arg, const char *signal)
{
    const struct program *p = arg;
    log_info("draining", "signal=%s", signal);
    (void)event_base_loopbreak(p->base);
}

static bool serve(struct program *p, struct error *e)
{
    const struct daemon_calls calls = {.reload = reload, .stop = stop, .arg = p};
    struct daemon_signals *signals = daemon_signals_create(p->base, &calls, e);
    bool good = signals != NULL && kvstore_daemon_start(&p->daemon, p->base, e);
    if (good) {
        log_info("ready", "version=%s", MEC_VERSION);
        (void)event_base_dispatch(p->base);
    }
    // From here on a second SIGTERM ends the process at once; the store does not mind.
    daemon_signals_destroy(&signals);
    return good;
}

static int run(struct program *p)
{
    struct error why, why_stop;
    if (evthread_use_pthreads() != 0 || (p->base = event_base_new()) == NULL) {
        report("event loop: cannot be made");
        return EXIT_FAILED;
    }
    bool good = kvstore_daemon_load(&p->daemon, &p->options, &why);
    if (good && !p->options.check)
        good = serve(p, &why);
    if (!kvstore_daemon_stop(&p->daemon, &why_stop) && good) {
        good = false;
        why = why_stop;
    }
    event_base_free(p->base);
    if (!good)
        report("%s", why.text);
    else if (p->options.check)
        (void)puts("OK");
    else
        log_info("stopped", "dir=%s", p->options.dir);
    return good ? EXIT_DONE : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    static struct program program;
    struct error why;

    daemon_begin("kvstore");
    program.argc = argc;
    program.argv = argv;
    enum config_result result = daemon_options_read(&kvstore_options_spec, argc, argv, &program.options);
    if (result != CONFIG_OK)
        return result == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    int status = EXIT_USAGE;
    if (!kvstore_options_check(&program.options, &why)) {
        report("%s", why.text);
    } else if (!process_harden(&why) || !log_setup("kvstore", (enum log_level)program.options.log_level,
                                                   program.options.log_file, &why)) {
        report("%s", why.text);
        status = EXIT_FAILED;
    } else {
        status = run(&program);
        log_teardown();
    }
    config_release(&kvstore_options_spec, &program.options, NULL);
    return status;
}
