// scaleupd: wiring only. Options, modules up in order, run until a signal, modules down in reverse.
#include <event2/event.h>
#include <event2/thread.h>
#include <stdio.h>

#include "common/daemon.h"
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
static void reload(void *arg)
{
    struct program *p = arg;
    struct scaleupd_options fresh = {0};
    struct error why;
    char quoted[1024];
    if (!daemon_options_reread(&scaleupd_spec, p->argc, p->argv, &fresh))
        return;
    if (scaleupd_reload(&p->daemon, &fresh, &why))
        log_info("reloaded", "vnfs=%zu operators=%zu", fresh.vnf.count, fresh.operators.count);
    else
        log_error("reload_failed", "reason=%s note=\"what was in use stays\"",
                  log_quote(why.text, quoted, sizeof quoted));
    log_set_level((enum log_level)fresh.log_level);
    config_release(&scaleupd_spec, &fresh, NULL);
}

static void stop(void *arg, const char *signal)
{
    const struct program *p = arg;
    log_info("stopping", "signal=%s", signal);
    (void)event_base_loopbreak(p->base);
}

static bool serve(struct program *p, struct error *e)
{
    const struct daemon_calls calls = {.reload = reload, .stop = stop, .arg = p};
    struct daemon_signals *signals = daemon_signals_create(p->base, &calls, e);
    bool good =
        signals != NULL && scaleupd_start(&p->daemon, e) && scaleupd_admin_start(&p->daemon, &p->admin, e);
    if (good) {
        log_info("ready", "version=%s pool=%llu book=%s", MEC_VERSION, (unsigned long long)p->options.pool,
                 p->daemon.settings.book);
        (void)event_base_dispatch(p->base);
    }
    scaleupd_admin_stop(&p->admin);
    daemon_signals_destroy(&signals);
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

    daemon_begin("scaleupd");
    program.argc = argc;
    program.argv = argv;
    enum config_result result = daemon_options_read(&scaleupd_spec, argc, argv, &program.options);
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
