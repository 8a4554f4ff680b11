// keyserver: wiring only. Options, modules up in order, run until a signal, modules down in reverse.
#include <event2/event.h>
#include <event2/thread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/inherit.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/privileges.h"
#include "common/report.h"
#include "common/sandbox.h"
#include "common/secmem.h"
#include "keyserver/access_explain.h"
#include "keyserver/admin.h"
#include "keyserver/control.h"
#include "keyserver/drain.h"
#include "keyserver/options.h"
#include "keyserver/server.h"
#include "keyserver/upgrade.h"
#include "keyserver/watchdog.h"

struct program {
    int argc;
    char **argv;
    struct options options;
    struct privileges privileges;
    struct server server;
    struct admin *admin;
    struct event_base *base;
    struct inherited inherited;
    struct drain drain;
    struct handover *handover;
    struct watchdog *watchdog;
    bool handing_over; // another process is taking over
    pid_t successor;   // 0: it is in another PID namespace
    bool stopping;     // SIGTERM has come
    uint64_t told_ns;  // when a server was told to make room for this one; 0: none was
};

// Build, check, swap: certificates, CAs, the access policy and the password are read anew, log files reopened, log
// level, memory and its goals taken over. What else changed in the file waits for a restart, and on any fault the
// server goes on as it is.
static void reload(void *arg)
{
    struct program *p = arg;
    struct options fresh = {0};
    struct policy_config policy;
    uint64_t fixed_bytes;
    struct error why;
    char quoted[1024];

    audit_reopen(p->server.audit);
    notify_reloading();
    if (!daemon_options_reread(&options_spec, p->argc, p->argv, &fresh)) {
        notify_ready("serving; the last reload failed");
        return;
    }
    bool good = false;
    if (!scaler_options_reload(&p->options.elastic, &fresh.elastic, &policy, &fixed_bytes, &why))
        log_error("reload_failed", "reason=%s", log_quote(why.text, quoted, sizeof quoted));
    else if (!server_reload(&p->server, &fresh, &why))
        log_error("reload_failed", "reason=%s note=\"certificates, policy and password in use stay\"",
                  log_quote(why.text, quoted, sizeof quoted));
    else {
        good = true;
        scaler_configure(p->server.scaler, &policy, fixed_bytes);
        log_info("reloaded", "cert=%s client_ca=%s memory=%llu", fresh.cert, fresh.client_ca,
                 (unsigned long long)fresh.elastic.memory);
    }
    log_set_level((enum log_level)fresh.log_level);
    config_release(&options_spec, &fresh, NULL);
    notify_ready(good ? "serving" : "serving; the last reload failed");
}

// Nothing is in flight any more.
static void on_drained(void *arg)
{
    struct program *p = arg;
    (void)event_base_loopbreak(p->base);
}

static void stop(void *arg, const char *signal)
{
    struct program *p = arg;
    if (p->stopping) { // asked twice: at once
        (void)event_base_loopbreak(p->base);
        return;
    }
    p->stopping = true;
    log_info("draining", "signal=%s connections=%u", signal, server_connections(&p->server));
    if (p->handing_over)
        return; // it is on its way out
    notify_stopping("draining");
    drain_begin(&p->drain, p->options.drain_timeout, false);
}

// ---- another process takes over

static void offer(void *arg, struct handover_message *message, int fds[static HANDOVER_SOCKETS])
{
    const struct program *p = arg;
    upgrade_offer(&p->server, p->admin, p->handover, message, fds);
}

static void begin_handover(void *arg, pid_t successor)
{
    struct program *p = arg;
    p->handing_over = true;
    p->successor = successor;
    if (p->stopping)
        return; // it drains already
    log_info("draining", "successor=%ld connections=%u", (long)successor, server_connections(&p->server));
    notify_status("handing over");
    drain_begin(&p->drain, p->options.drain_timeout, true);
}

static void abandon_handover(void *arg)
{
    struct program *p = arg;
    p->handing_over = false;
    if (p->stopping)
        return; // it ends all the same
    drain_cancel(&p->drain);
    notify_status("serving; a successor failed");
}

static bool start_handover(struct program *p, struct error *e)
{
    const struct handover_calls calls = {
        .offer = offer, .begin = begin_handover, .abandoned = abandon_handover, .arg = p};
    char addr[HANDOVER_ADDRESS_MAX];
    if (!upgrade_address(&p->options, addr, sizeof addr))
        return true;
    p->handover = handover_create(p->base, addr, inherit_take(&p->inherited, "upgrade", NULL), &calls, e);
    return p->handover != NULL;
}

// The store is closed, all locks are free.
static void end_handover(struct program *p)
{
    if (p->handing_over) {
        handover_done(p->handover);
        log_info("handed_over", "successor=%ld", (long)p->successor);
    }
    handover_destroy(&p->handover);
}

// From here on nobody but the successor will serve: the service manager is to watch that one.
static void leave_to_successor(struct program *p)
{
    if (!p->handing_over)
        return;
    control_leave_files(&p->server);
    if (p->successor != 0)
        notify_main_pid(p->successor);
}

// What root could read before may be out of the user's reach, and a reload would fail as a whole, when somebody is to be revoked.
static void warn_of_unreadable(const struct options *o)
{
    const char *const files[] = {o->cert, o->key, o->client_ca, o->policy, o->redis_password_file};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i] != NULL && access(files[i], R_OK) != 0)
            log_warn("reload_will_fail", "file=%s reason=\"this user cannot read it\"", files[i]);
}

// Everything is open and every thread runs: what serving does not need goes.
static bool confine(struct program *p, struct error *e)
{
    bool applied;
    if (!privileges_drop(&p->privileges, e) ||
        !sandbox_apply((enum sandbox_mode)p->options.sandbox, &applied, e))
        return false;
    warn_of_unreadable(&p->options);
    if (geteuid() == 0)
        log_warn("running_as_root", "note=\"--user NAME serves as another user\"");
    if (applied)
        log_info("sandbox", "mode=%s", p->options.sandbox == SANDBOX_LOG ? "log" : "on");
    else
        log_warn("no_sandbox", "reason=\"%s\"",
                 p->options.sandbox == SANDBOX_OFF ? "--sandbox off" : "built with a sanitizer");
    return true;
}

static void run_loop(struct program *p)
{
    log_info("ready", "version=%s store=%s", MEC_VERSION, p->options.store);
    if (p->told_ns != 0)
        log_info("took_over", "within_ms=%llu", (unsigned long long)((clock_ns() - p->told_ns) / 1000000));
    notify_ready("serving");
    (void)event_base_dispatch(p->base);
    notify_long_begin(p->handing_over ? "handing over" : "closing the store");
    leave_to_successor(p);
}

static bool serve(struct program *p, struct error *e)
{
    const struct daemon_calls calls = {.reload = reload, .stop = stop, .arg = p};
    struct daemon_signals *signals = daemon_signals_create(p->base, &calls, e);

    bool good = signals != NULL && drain_init(&p->drain, p->base, &p->server, on_drained, p, e) &&
                server_start(&p->server, p->base, e) && server_admin(&p->server, &p->admin, e) &&
                start_handover(p, e) && watchdog_start(&p->watchdog, p->base, &p->server, e);
    inherit_close(&p->inherited);
    notify_long_end(); // its thread would keep privileges in use
    if (good && confine(p, e))
        run_loop(p);
    else
        good = false;
    watchdog_stop(&p->watchdog);
    admin_stop(&p->admin);
    server_stop(&p->server);
    end_handover(p);
    notify_long_end();
    daemon_signals_destroy(&signals);
    drain_deinit(&p->drain);
    return good;
}

// All that can be read and checked while another server has the store, and then the store.
static bool load(struct program *p, struct error *e)
{
    bool check = p->options.check;
    if (!server_load(&p->server, &p->options, &p->privileges, &p->inherited, e) ||
        (!check && !upgrade_from_manager(&p->inherited, e)))
        return false;
    notify_long_begin("opening the store");
    return (check || upgrade_take_over(&p->options, p->server.master, &p->inherited, &p->told_ns, e)) &&
           server_load_store(&p->server, e);
}

static int run(struct program *p)
{
    struct error why;

    if (evthread_use_pthreads() != 0 || (p->base = event_base_new()) == NULL) {
        report("event loop: cannot be made");
        return EXIT_FAILED;
    }
    bool good = load(p, &why);
    if (!good || p->options.check) {
        server_stop(&p->server);
        inherit_close(&p->inherited);
        notify_long_end();
    } else {
        good = serve(p, &why);
    }
    event_base_free(p->base);
    if (!good)
        report("%s", why.text);
    else if (p->options.check)
        (void)puts("OK");
    else
        log_info("stopped", "connections=%u", server_connections(&p->server));
    return good ? EXIT_DONE : EXIT_FAILED;
}

// --explain, which is told from serving by its further words. -1: not asked for.
static int explain(int argc, char **argv, struct options *options)
{
    struct config_list words;
    struct error why;
    bool asked = false;
    for (int i = 1; i < argc; i++)
        asked |= strcmp(argv[i], "--explain") == 0;
    if (!asked)
        return -1;
    enum config_result result = config_read(&options_explain_spec, argc, argv, options, &words);
    if (result != CONFIG_OK)
        return result == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    int status = access_explain(options, &words, stdout, &why);
    if (status == EXIT_USAGE)
        report("%s", why.text);
    config_release(&options_explain_spec, options, &words);
    return status;
}

int main(int argc, char **argv)
{
    static struct program program;
    struct error why;
    bool locked;

    daemon_begin("keyserver");
    if (options_want_verify(argc, argv))
        return options_verify(argc, argv);
    program.argc = argc;
    program.argv = argv;
    int explained = explain(argc, argv, &program.options);
    if (explained >= 0)
        return explained;
    enum config_result result = daemon_options_read(&options_spec, argc, argv, &program.options);
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
    if (!privileges_find(&program.privileges, program.options.user, &why) ||
        !privileges_as_user(&program.privileges, &why) ||
        !log_setup("keyserver", (enum log_level)program.options.log_level, program.options.log_file, &why) ||
        !privileges_as_root(&program.privileges, &why)) {
        report("%s", why.text);
        return EXIT_FAILED;
    }
    if (!notify_setup(&why)) {
        report("%s", why.text);
        return EXIT_FAILED;
    }
    if (!locked)
        log_warn("secret_memory_not_locked",
                 "note=\"private keys may be swapped out; raise RLIMIT_MEMLOCK\"");
    int status = run(&program);
    notify_teardown();
    log_teardown();
    config_release(&options_spec, &program.options, NULL);
    return status;
}
