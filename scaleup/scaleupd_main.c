// scaleupd: wiring only. Options, modules up in order, run until a signal, modules down in reverse.
#include <event2/event.h>
#include <event2/thread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/report.h"
#include "common/secmem.h"
#include "scaleup/scaleupd_admin.h"
#include "scaleup/scaleupd_daemon.h"
#include "scaleup/scaleupd_options.h"

#define SECRET_BYTES (1u << 20) // the TLS key

struct program {
    int argc;
    char **argv;
    struct scaleupd_options options;
    struct scaleupd daemon;
    struct scaleupd_admin *admin;
    struct event_base *base;
};

// Build, check, swap. On any fault the daemon goes on as it is, and the log says why.
static void reload(struct program *p)
{
    struct scaleupd_options fresh;
    struct error why;
    char *text = NULL, quoted[1024];
    size_t len = 0;
    FILE *errors = open_memstream(&text, &len);

    log_reopen();
    memset(&fresh, 0, sizeof fresh);
    enum config_result result = errors != NULL
                                    ? config_read_to(&scaleupd_spec, p->argc, p->argv, &fresh, NULL, errors)
                                    : CONFIG_USAGE;
    if (errors != NULL)
        (void)fclose(errors);
    if (text != NULL)
        text[strcspn(text, "\n")] = '\0';
    if (result != CONFIG_OK) {
        log_error("reload_failed", "reason=%s",
                  log_quote(text != NULL ? text : "out of memory", quoted, sizeof quoted));
    } else {
        if (scaleupd_reload(&p->daemon, &fresh, &why))
            log_info("reloaded", "vnfs=%zu operators=%zu", fresh.vnf.count, fresh.operators.count);
        else
            log_error("reload_failed", "reason=%s note=\"what was in use stays\"",
                      log_quote(why.text, quoted, sizeof quoted));
        log_set_level((enum log_level)fresh.log_level);
        config_release(&scaleupd_spec, &fresh, NULL);
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
    log_info("stopping", "signal=SIG%s", sigabbrev_np((int)signal_number));
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
    good = good && scaleupd_start(&p->daemon, e) && scaleupd_admin_start(&p->daemon, &p->admin, e);
    if (good) {
        log_info("ready", "version=%s pool=%llu book=%s", MEC_VERSION, (unsigned long long)p->options.pool,
                 p->daemon.settings.book);
        (void)event_base_dispatch(p->base);
    }
    scaleupd_admin_stop(&p->admin);
    for (int i = 0; i < SIGNALS; i++)
        if (events[i] != NULL)
            event_free(events[i]);
    return good;
}

static int run(struct program *p, struct scaleupd_settings *settings)
{
    struct error why;

    if (evthread_use_pthreads() != 0 || (p->base = event_base_new()) == NULL) {
        report("event loop: cannot be made");
        scaleupd_settings_release(settings);
        return EXIT_FAILED;
    }
    bool good = scaleupd_load(&p->daemon, p->base, &p->options, settings, p->options.check, &why);
    if (good && p->options.check)
        (void)puts("OK");
    else if (good)
        good = serve(p, &why);
    scaleupd_stop(&p->daemon);
    event_base_free(p->base);
    if (!good)
        report("%s", why.text);
    else if (!p->options.check)
        log_info("stopped", "note=\"grants stay in the book\"");
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

static bool set_up(const struct scaleupd_options *o, struct error *e)
{
    bool locked;
    if (!secmem_setup(SECRET_BYTES, &locked, e) || !process_harden(e))
        return false;
    secmem_wrap_libevent();
    if (!log_setup("scaleupd", (enum log_level)o->log_level, o->log_file, e))
        return false;
    if (!locked)
        log_warn("secret_memory_not_locked", "note=\"the TLS key may be swapped out; raise RLIMIT_MEMLOCK\"");
    return true;
}

int main(int argc, char **argv)
{
    static struct program program;
    struct scaleupd_settings settings;
    struct error why;

    report_set_program("scaleupd");
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP,
                 SIG_IGN); // until the loop handles it: a reload asked for during the start has nothing to do
    program.argc = argc;
    program.argv = argv;
    if (wants_sample(argc, argv)) {
        config_print_sample(&scaleupd_spec, stdout);
        return EXIT_DONE;
    }
    enum config_result result = config_read(&scaleupd_spec, argc, argv, &program.options, NULL);
    if (result != CONFIG_OK)
        return result == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    if (!scaleupd_settings_read(&program.options, &settings, &why)) {
        report("%s", why.text);
        config_release(&scaleupd_spec, &program.options, NULL);
        return EXIT_USAGE;
    }
    if (!set_up(&program.options, &why)) {
        report("%s", why.text);
        return EXIT_FAILED;
    }
    int status = run(&program, &settings);
    log_teardown();
    config_release(&scaleupd_spec, &program.options, NULL);
    return status;
}
