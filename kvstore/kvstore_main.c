// kvstore: wiring only. Options, modules up in order, run until a signal, modules down in reverse.
#include <event2/event.h>
#include <event2/thread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

// Options are read anew, the log reopened, log level and memory limit taken over; on any fault all stays as it is.
static void reload(struct program *p)
{
    struct kvstore_options fresh = {0};
    char *text = NULL, quoted[1024];
    size_t len = 0;
    FILE *errors = open_memstream(&text, &len);

    log_reopen();
    enum config_result result =
        errors != NULL ? config_read_to(&kvstore_options_spec, p->argc, p->argv, &fresh, NULL, errors)
                       : CONFIG_USAGE;
    if (errors != NULL)
        (void)fclose(errors);
    if (text != NULL)
        text[strcspn(text, "\n")] = '\0';
    if (result == CONFIG_OK) {
        kvstore_daemon_reload(&p->daemon, &fresh);
        log_set_level((enum log_level)fresh.log_level);
        config_release(&kvstore_options_spec, &fresh, NULL);
    } else {
        log_error("reload_failed", "reason=%s",
                  log_quote(text != NULL ? text : "out of memory", quoted, sizeof quoted));
    }
    free(text);
}

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
    struct program *p = arg;
    (void)what;
    if (signal_number == SIGHUP) {
        reload(p);
        return;
    }
    log_info("draining", "signal=SIG%s", sigabbrev_np((int)signal_number));
    (void)event_base_loopbreak(p->base);
}

static bool serve(struct program *p, struct error *e)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    enum { SIGNALS = sizeof signals / sizeof signals[0] };
    struct event *events[SIGNALS] = {NULL};
    bool good = true;

    for (int i = 0; i < SIGNALS && good; i++) {
        events[i] = evsignal_new(p->base, signals[i], on_signal, p);
        good = events[i] != NULL && evsignal_add(events[i], NULL) == 0;
    }
    if (!good)
        error_set(e, "signals: out of memory");
    good = good && kvstore_daemon_start(&p->daemon, p->base, e);
    if (good) {
        log_info("ready", "version=%s", MEC_VERSION);
        (void)event_base_dispatch(p->base);
    }
    // From here on a second SIGTERM ends the process at once; the store does not mind.
    for (int i = 0; i < SIGNALS; i++)
        if (events[i] != NULL)
            event_free(events[i]);
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

// --print-config needs none of the options that serving requires.
static bool wants_sample(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--print-config") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static struct program program;
    struct error why;

    report_set_program("kvstore");
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN); // until the loop handles it
    program.argc = argc;
    program.argv = argv;
    if (wants_sample(argc, argv)) {
        config_print_sample(&kvstore_options_spec, stdout);
        return EXIT_DONE;
    }
    enum config_result result = config_read(&kvstore_options_spec, argc, argv, &program.options, NULL);
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
