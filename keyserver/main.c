// keyserver: wiring only. Options, modules up in order, run until a signal, modules down in reverse.
#include <event2/event.h>
#include <event2/thread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/privileges.h"
#include "common/report.h"
#include "common/sandbox.h"
#include "common/secmem.h"
#include "keyserver/access_explain.h"
#include "keyserver/admin.h"
#include "keyserver/options.h"
#include "keyserver/server.h"

struct program {
    int argc;
    char **argv;
    struct options options;
    struct privileges privileges;
    struct server server;
    struct admin *admin;
    struct event_base *base;
    struct event *drain_timer;
    uint64_t drain_deadline_ns;
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
    if (!daemon_options_reread(&options_spec, p->argc, p->argv, &fresh))
        return;
    if (!scaler_options_reload(&p->options.elastic, &fresh.elastic, &policy, &fixed_bytes, &why))
        log_error("reload_failed", "reason=%s", log_quote(why.text, quoted, sizeof quoted));
    else if (!server_reload(&p->server, &fresh, &why))
        log_error("reload_failed", "reason=%s note=\"certificates, policy and password in use stay\"",
                  log_quote(why.text, quoted, sizeof quoted));
    else {
        scaler_configure(p->server.scaler, &policy, fixed_bytes);
        log_info("reloaded", "cert=%s client_ca=%s memory=%llu", fresh.cert, fresh.client_ca,
                 (unsigned long long)fresh.elastic.memory);
    }
    log_set_level((enum log_level)fresh.log_level);
    config_release(&options_spec, &fresh, NULL);
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

static void stop(void *arg, const char *signal)
{
    struct program *p = arg;
    if (atomic_load(&p->server.draining)) { // asked twice: at once
        (void)event_base_loopbreak(p->base);
        return;
    }
    log_info("draining", "signal=%s connections=%u", signal, server_connections(&p->server));
    p->drain_deadline_ns = clock_ns() + p->options.drain_timeout * 1000;
    server_drain(&p->server);
    on_drain_tick(-1, 0, p);
}

// Everything is open and every thread runs: what serving does not need goes.
// What root could read before may be out of the user's reach, and a reload would fail as a whole, when somebody is to be revoked.
static void warn_of_unreadable(const struct options *o)
{
    const char *const files[] = {o->cert, o->key, o->client_ca, o->policy, o->redis_password_file};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i] != NULL && access(files[i], R_OK) != 0)
            log_warn("reload_will_fail", "file=%s reason=\"this user cannot read it\"", files[i]);
}

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

static bool serve(struct program *p, struct error *e)
{
    const struct daemon_calls calls = {.reload = reload, .stop = stop, .arg = p};
    struct daemon_signals *signals = NULL;

    p->drain_timer = evtimer_new(p->base, on_drain_tick, p);
    if (p->drain_timer == NULL)
        error_set(e, "drain timer: out of memory");
    else
        signals = daemon_signals_create(p->base, &calls, e);
    bool good = signals != NULL && server_start(&p->server, p->base, e) &&
                server_admin(&p->server, &p->admin, e) && confine(p, e);
    if (good) {
        log_info("ready", "version=%s store=%s", MEC_VERSION, p->options.store);
        (void)event_base_dispatch(p->base);
    }
    admin_stop(&p->admin);
    server_stop(&p->server);
    daemon_signals_destroy(&signals);
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
    if (!server_load(&p->server, &p->options, &p->privileges, &why)) {
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
    if (!locked)
        log_warn("secret_memory_not_locked",
                 "note=\"private keys may be swapped out; raise RLIMIT_MEMLOCK\"");
    int status = run(&program);
    log_teardown();
    config_release(&options_spec, &program.options, NULL);
    return status;
}
