// keyserver: wiring only. Options, modules up in order, run until a signal, modules down in reverse.
#include <event2/event.h>
#include <event2/thread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/report.h"
#include "common/secmem.h"
#include "keyserver/admin.h"
#include "keyserver/options.h"
#include "keyserver/server.h"

struct program {
    int argc;
    char **argv;
    struct options options;
    struct server server;
    struct admin *admin;
    struct event_base *base;
    struct event *drain_timer;
    uint64_t drain_deadline_ns;
};

// Build, check, swap: certificates and CAs are read anew, log files reopened, log level, memory and its goals
// taken over. What else changed in the file waits for a restart, and on any fault the server goes on as it
// is.
static void reload(struct program *p)
{
    struct options fresh;
    struct error why;
    char *text = NULL, quoted[1024];
    size_t len = 0;
    FILE *errors = open_memstream(&text, &len);

    log_reopen();
    audit_reopen(p->server.audit);
    memset(&fresh, 0, sizeof fresh);
    enum config_result result =
        errors != NULL ? config_read_to(&options_spec, p->argc, p->argv, &fresh, NULL, errors) : CONFIG_USAGE;
    if (errors != NULL)
        (void)fclose(errors);
    if (text != NULL)
        text[strcspn(text, "\n")] = '\0';
    if (result != CONFIG_OK) {
        log_error("reload_failed", "reason=%s",
                  log_quote(text != NULL ? text : "out of memory", quoted, sizeof quoted));
    } else {
        struct policy_config policy;
        uint64_t fixed_bytes;
        struct scaler_settings memory = fresh.elastic; // borrows its texts
        memory.scaleup = p->options.elastic.scaleup;   // a session is not moved by a reload
        memory.vnf = p->options.elastic.vnf;
        if (!scaler_options_policy(&memory, &policy, &fixed_bytes, &why))
            log_error("reload_failed", "reason=%s", log_quote(why.text, quoted, sizeof quoted));
        else if (!server_reload_tls(&p->server, &fresh, &why))
            log_error("reload_failed", "reason=%s note=\"the certificates in use stay\"",
                      log_quote(why.text, quoted, sizeof quoted));
        else {
            scaler_configure(p->server.scaler, &policy, fixed_bytes);
            log_info("reloaded", "cert=%s client_ca=%s memory=%llu", fresh.cert, fresh.client_ca,
                     (unsigned long long)fresh.elastic.memory);
        }
        log_set_level((enum log_level)fresh.log_level);
        config_release(&options_spec, &fresh, NULL);
    }
    free(text);
}

static void on_drain_tick(evutil_socket_t fd, short what, void *arg)
{
    struct program *p = arg;
    const struct timeval soon = {.tv_usec = 20000};
    unsigned left = server_connections(&p->server);
    (void)fd;
    (void)what;
    if (left == 0 || clock_ns() >= p->drain_deadline_ns) {
        if (left != 0)
            log_warn("drain_timeout", "connections=%u", left);
        (void)event_base_loopbreak(p->base);
        return;
    }
    (void)evtimer_add(p->drain_timer, &soon);
}

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
    struct program *p = arg;
    (void)what;
    if (signal_number == SIGHUP) {
        reload(p);
        return;
    }
    if (atomic_load(&p->server.draining)) { // asked twice: at once
        (void)event_base_loopbreak(p->base);
        return;
    }
    log_info("draining", "signal=SIG%s connections=%u", sigabbrev_np((int)signal_number),
             server_connections(&p->server));
    p->drain_deadline_ns = clock_ns() + p->options.drain_timeout * 1000;
    server_drain(&p->server);
    on_drain_tick(-1, 0, p);
}

static bool serve(struct program *p, struct error *e)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    enum { SIGNALS = sizeof signals / sizeof signals[0] };
    struct event *events[SIGNALS] = {NULL};
    bool good = true;

    p->drain_timer = evtimer_new(p->base, on_drain_tick, p);
    good = p->drain_timer != NULL;
    for (int i = 0; i < SIGNALS && good; i++) {
        events[i] = evsignal_new(p->base, signals[i], on_signal, p);
        good = events[i] != NULL && evsignal_add(events[i], NULL) == 0;
    }
    if (!good)
        error_set(e, "signals: out of memory");
    good = good && server_start(&p->server, p->base, e) && server_admin(&p->server, &p->admin, e);
    if (good) {
        log_info("ready", "version=%s store=%s", MEC_VERSION, p->options.store);
        (void)event_base_dispatch(p->base);
    }
    admin_stop(&p->admin);
    server_stop(&p->server);
    for (int i = 0; i < SIGNALS; i++)
        if (events[i] != NULL)
            event_free(events[i]);
    if (p->drain_timer != NULL)
        event_free(p->drain_timer);
    return good;
}

static int run(struct program *p)
{
    struct error why;

    if (evthread_use_pthreads() != 0 || (p->base = event_base_new()) == NULL) {
        report("event loop: cannot be made");
        return EXIT_FAILED;
    }
    bool good;
    if (!server_load(&p->server, &p->options, &why)) {
        server_stop(&p->server);
        good = false;
    } else if (p->options.check) {
        server_stop(&p->server);
        good = true;
        (void)puts("OK");
    } else {
        good = serve(p, &why);
    }
    event_base_free(p->base);
    if (!good)
        report("%s", why.text);
    else if (!p->options.check)
        log_info("stopped", "connections=%u", server_connections(&p->server));
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
    bool locked;

    report_set_program("keyserver");
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP,
                 SIG_IGN); // until the loop handles it: a reload asked for during the start has nothing to do
    program.argc = argc;
    program.argv = argv;
    if (wants_sample(argc, argv)) {
        config_print_sample(&options_spec, stdout);
        return EXIT_DONE;
    }
    enum config_result result = config_read(&options_spec, argc, argv, &program.options, NULL);
    if (result != CONFIG_OK)
        return result == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    if (!options_check(&program.options, &why)) {
        report("%s", why.text);
        return EXIT_USAGE;
    }
    if (!secmem_setup(program.options.secret_memory, &locked, &why) || !process_harden(&why)) {
        report("%s", why.text);
        return EXIT_FAILED;
    }
    secmem_wrap_libevent();
    if (!log_setup("keyserver", (enum log_level)program.options.log_level, program.options.log_file, &why)) {
        report("%s", why.text);
        return EXIT_FAILED;
    }
    if (!locked)
        log_warn("secret_memory_not_locked",
                 "note=\"private keys may be swapped out; raise RLIMIT_MEMLOCK\"");
    int status = run(&program);
    log_teardown();
    config_release(&options_spec, &program.options, NULL);
    return status;
}
