#include "scaleup/scaleupd_daemon.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/admin.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/tls.h"

#define MEASURE_SECONDS 5 // how often back-ends are asked what is true

uint64_t scaleupd_now_ms(void)
{
    return clock_ns() / 1000000;
}

// Once in a turn of the loop, however much has happened in it.
static void wake(struct scaleupd *daemon)
{
    if (daemon->tick != NULL)
        event_active(daemon->tick, 0, 0);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct scaleupd *daemon = arg;
    uint64_t now = scaleupd_now_ms(), next = broker_tick(daemon->broker, now);
    (void)fd;
    (void)what;
    if (next == UINT64_MAX)
        return;
    uint64_t wait = next > now ? next - now : 1;
    const struct timeval tv = {.tv_sec = (time_t)(wait / 1000), .tv_usec = (suseconds_t)(wait % 1000 * 1000)};
    (void)event_add(daemon->tick, &tv);
}

static void on_measure(evutil_socket_t fd, short what, void *arg)
{
    struct scaleupd *daemon = arg;
    (void)fd;
    (void)what;
    for (size_t i = 0; i < daemon->vnf_count; i++)
        daemon->vnfs[i]->line.backend->measure(daemon->vnfs[i]->backend);
    scaleupd_server_recheck(daemon->server);
}

// ---- into the broker

void scaleupd_on_report(void *arg, const struct backend_report *report)
{
    struct scaleupd_vnf *vnf = arg;
    broker_report(vnf->daemon->broker, vnf->index, report, scaleupd_now_ms());
    wake(vnf->daemon);
}

static void on_hello(void *arg, uint64_t session, const struct message *hello)
{
    struct scaleupd *daemon = arg;
    broker_hello(daemon->broker, session, hello, scaleupd_now_ms());
    wake(daemon);
}

static void on_message(void *arg, uint64_t session, const struct message *message)
{
    struct scaleupd *daemon = arg;
    broker_message(daemon->broker, session, message, scaleupd_now_ms());
    wake(daemon);
}

static void on_gone(void *arg, uint64_t session)
{
    struct scaleupd *daemon = arg;
    broker_disconnected(daemon->broker, session, scaleupd_now_ms());
    wake(daemon);
}

// ---- out of the broker

static void effect_send(void *arg, uint64_t session, const struct message *message)
{
    scaleupd_server_send(((struct scaleupd *)arg)->server, session, message);
}

static void effect_close(void *arg, uint64_t session)
{
    scaleupd_server_close(((struct scaleupd *)arg)->server, session);
}

static void effect_apply(void *arg, size_t index, uint64_t change_id, uint64_t bytes)
{
    struct scaleupd *daemon = arg;
    const struct scaleupd_vnf *vnf = daemon->vnfs[index];
    vnf->line.backend->set(vnf->backend, change_id, bytes);
}

static bool effect_record(void *arg, const struct book *book)
{
    struct scaleupd *daemon = arg;
    struct error why;
    char quoted[600];
    if (daemon->book == NULL || book_write(daemon->book, book, &why)) // --check has none
        return true;
    log_error("book_not_written", "reason=%s", log_quote(why.text, quoted, sizeof quoted));
    return false;
}

static void effect_log(void *arg, bool warning, const char *event, const char *text)
{
    (void)arg;
    log_write(warning ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, event, "%s", text);
}

// ---- start

static SSL_CTX *make_tls(const struct scaleupd_options *o, struct error *e)
{
    const struct tls_files files = {.cert_file = o->cert, .key_file = o->key, .ca_file = o->client_ca};
    SSL_CTX *tls = tls_server_ctx_create(&files, e);
    int days = tls != NULL ? tls_ctx_days_left(tls) : 0;
    if (tls != NULL && days < 14)
        log_warn("certificate_ends", "file=%s days_left=%d", o->cert, days);
    return tls;
}

// VNFs that a former run added by any name have their grants in the book: without a back-end they could never give them back.
static void add_from_book(struct scaleupd *daemon, const struct book *book)
{
    for (size_t i = 0; i < book->count; i++) {
        struct vnf_line line;
        struct error why;
        char quoted[600];
        const char *name = book->vnfs[i].name;
        bool good = vnf_line_implicit(name, scaleupd_backend(daemon->options), daemon->options->cgroup_root,
                                      &line, &why);
        if (good && !access_add_user(&line.allow, geteuid())) {
            vnf_line_release(&line);
            error_set(&why, "out of memory");
            good = false;
        }
        if (!good || !scaleupd_add_vnf(daemon, &line, &why))
            log_error("vnf_refused", "vnf=%s reason=%s", name, log_quote(why.text, quoted, sizeof quoted));
    }
}

static bool make_broker(struct scaleupd *daemon, const struct book *book, struct error *e)
{
    const struct scaleupd_options *o = daemon->options;
    struct broker_vnf *vnfs = calloc(daemon->vnf_count + 1, sizeof *vnfs);
    if (vnfs == NULL) {
        error_set(e, "out of memory");
        return false;
    }
    for (size_t i = 0; i < daemon->vnf_count; i++)
        vnfs[i] = daemon->vnfs[i]->line.vnf;
    const struct broker_options options = {
        .pool_bytes = o->pool,
        .granularity = o->granularity,
        .lease_ms = o->lease / 1000,
        .deadline_ms = o->deadline / 1000,
        .vnfs = vnfs,
        .vnf_count = daemon->vnf_count,
    };
    const struct broker_effects effects = {.send = effect_send,
                                           .close = effect_close,
                                           .apply = effect_apply,
                                           .record = effect_record,
                                           .log = effect_log,
                                           .arg = daemon};
    daemon->broker = broker_create(&options, &effects, book, scaleupd_now_ms(), e);
    free(vnfs);
    return daemon->broker != NULL;
}

static bool load_vnfs(struct scaleupd *daemon, const struct book *book, struct error *e)
{
    for (size_t i = 0; i < daemon->settings.vnfs.count; i++) {
        struct vnf_line *line = &daemon->settings.vnfs.items[i];
        if (line->allow.count == 0)
            log_warn("vnf_closed", "vnf=%s note=\"no allow=: nobody may speak for it\"", line->vnf.name);
        if (!scaleupd_add_vnf(daemon, line, e))
            return false;
    }
    if (daemon->any_name && book != NULL)
        add_from_book(daemon, book);
    return make_broker(daemon, book, e);
}

bool scaleupd_load(struct scaleupd *daemon, struct event_base *base, const struct scaleupd_options *options,
                   struct scaleupd_settings *settings, bool only_check, struct error *e)
{
    struct book book = {0};
    *daemon = (struct scaleupd){.base = base, .options = options, .settings = *settings};
    *settings = (struct scaleupd_settings){0};
    daemon->started_ns = clock_ns();
    daemon->any_name = daemon->settings.vnfs.count == 0;
    if (daemon->settings.tls && (daemon->tls = make_tls(options, e)) == NULL)
        return false;
    if (!only_check && (daemon->book = book_open(daemon->settings.book, &book, e)) == NULL)
        return false;
    bool good = load_vnfs(daemon, only_check ? NULL : &book, e);
    book_release(&book);
    return good;
}

// Each connection and each back-end has a descriptor or two.
static void raise_descriptor_limit(const struct scaleupd *daemon)
{
    struct rlimit limit;
    rlim_t wanted = daemon->options->max_connections + 2 * VNFS_MAX + ADMIN_CONNECTIONS_MAX + 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= wanted ? wanted : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

// Root in a container is root to SO_PEERCRED, unless it has a user namespace: a VNF that a rule lets in as root is then an operator, who was not named as one.
static void warn_of_root(const struct scaleupd *daemon)
{
    if (geteuid() != 0 || daemon->options->operators.count != 0)
        return;
    for (size_t i = 0; i < daemon->vnf_count; i++)
        if (access_names_user(&daemon->vnfs[i]->line.allow, 0)) {
            log_warn("operator_is_root",
                     "vnf=%s note=\"it may come as root, and without --operator root is the operator: root "
                     "in a container, too\"",
                     daemon->vnfs[i]->line.vnf.name);
            return;
        }
}

bool scaleupd_start(struct scaleupd *daemon, struct error *e)
{
    const struct timeval now = {0}, often = {.tv_sec = MEASURE_SECONDS};
    const struct scaleupd_server_options options = {
        .listen = &daemon->options->listen,
        .open_socket = daemon->settings.open_socket,
        .tls = daemon->tls,
        .max_connections = daemon->options->max_connections,
        .hello_timeout_ms = daemon->options->hello_timeout / 1000,
    };
    const struct scaleupd_server_events events = {.is_operator = scaleupd_is_operator,
                                                  .is_known = scaleupd_is_known,
                                                  .may = scaleupd_may,
                                                  .too_often = scaleupd_too_often,
                                                  .hello = on_hello,
                                                  .message = on_message,
                                                  .gone = on_gone,
                                                  .arg = daemon};
    raise_descriptor_limit(daemon);
    warn_of_root(daemon);
    daemon->tick = evtimer_new(daemon->base, on_tick, daemon);
    daemon->measure = event_new(daemon->base, -1, EV_PERSIST, on_measure, daemon);
    if (daemon->tick == NULL || daemon->measure == NULL) {
        error_set(e, "timers: out of memory");
        return false;
    }
    daemon->server = scaleupd_server_create(daemon->base, &options, &events, e);
    if (daemon->server == NULL)
        return false;
    on_measure(-1, 0, daemon);
    (void)event_add(daemon->tick, &now);
    (void)event_add(daemon->measure, &often);
    return true;
}

// ---- reload and end

static void warn_of_restart(const struct scaleupd *daemon, const struct scaleupd_options *fresh)
{
    const struct scaleupd_options *o = daemon->options;
    if (o->pool != fresh->pool || o->granularity != fresh->granularity || o->lease != fresh->lease ||
        o->deadline != fresh->deadline || o->max_connections != fresh->max_connections ||
        o->listen.count != fresh->listen.count)
        log_warn("restart_needed",
                 "note=\"only VNFs, operators, certificates and the log level are taken over "
                 "from what has changed\"");
}

bool scaleupd_reload(struct scaleupd *daemon, const struct scaleupd_options *fresh, struct error *e)
{
    struct scaleupd_settings settings;
    if (!scaleupd_settings_read(fresh, &settings, e))
        return false;
    if (daemon->tls != NULL) {
        SSL_CTX *tls = fresh->cert != NULL && fresh->key != NULL && fresh->client_ca != NULL
                           ? make_tls(fresh, e)
                           : (error_set(e, "--cert, --key and --client-ca are needed"), NULL);
        if (tls == NULL) {
            scaleupd_settings_release(&settings);
            return false;
        }
        scaleupd_server_set_tls(daemon->server, tls);
        SSL_CTX_free(daemon->tls);
        daemon->tls = tls;
    }
    access_release(&daemon->settings.operators);
    daemon->settings.operators = settings.operators;
    settings.operators = (struct access_list){0};
    if (settings.open_socket && !daemon->settings.open_socket)
        log_warn("restart_needed", "note=\"a rule names another user, and the socket is for this one only\"");
    scaleupd_reload_vnfs(daemon, &settings.vnfs);
    scaleupd_settings_release(&settings);
    warn_of_restart(daemon, fresh);
    scaleupd_server_recheck(daemon->server);
    wake(daemon);
    return true;
}

void scaleupd_stop(struct scaleupd *daemon)
{
    scaleupd_server_destroy(&daemon->server);
    scaleupd_release_vnfs(daemon);
    broker_destroy(&daemon->broker);
    if (daemon->book != NULL)
        book_close(&daemon->book);
    if (daemon->tick != NULL)
        event_free(daemon->tick);
    if (daemon->measure != NULL)
        event_free(daemon->measure);
    daemon->tick = daemon->measure = NULL;
    SSL_CTX_free(daemon->tls);
    daemon->tls = NULL;
    scaleupd_settings_release(&daemon->settings);
}
