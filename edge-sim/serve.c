// `edge-sim serve`: wires the key server client, the provider, the sites and the workers together, in that
// order, and takes them down in reverse.
#include "edge-sim/serve.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "common/log.h"
#include "common/net.h"
#include "common/secmem.h"
#include "edge-sim/edge_worker.h"
#include "edge-sim/ski_client.h"

#define SECURE_HEAP_BYTES (1024 * 1024)
#define WORKERS_MAX       256

struct serve_options {
    char *config, *listen, *keyserver, *cert, *key, *ca, *root, *log_file;
    struct config_list site;
    unsigned tls_max, log_level;
    uint64_t threads, max_connections, keyserver_connections, keyserver_in_flight, keyserver_timeout;
    uint64_t handshake_timeout, head_timeout, idle_timeout, drain;
    bool check;
};

#define AT(field) offsetof(struct serve_options, field)
static const struct config_option options[] = {
    {.name = "config",
     .type = CONFIG_FILE,
     .offset = AT(config),
     .arg = "FILE",
     .help = "INI file with these options."},
    {.name = "listen",
     .type = CONFIG_STRING,
     .offset = AT(listen),
     .arg = "ADDR:PORT",
     .required = true,
     .help = "Where users connect. Port 0 takes a free one, which the log names."},
    {.name = "keyserver",
     .type = CONFIG_STRING,
     .offset = AT(keyserver),
     .arg = "https://HOST:PORT",
     .required = true,
     .help = "The key server that holds the sites' private keys."},
    {.name = "cert",
     .type = CONFIG_STRING,
     .offset = AT(cert),
     .arg = "PEM",
     .required = true,
     .help = "This edge's own certificate, shown to the key server."},
    {.name = "key",
     .type = CONFIG_STRING,
     .offset = AT(key),
     .arg = "PEM",
     .required = true,
     .help = "The private key of --cert. The only private key an edge has."},
    {.name = "ca",
     .type = CONFIG_STRING,
     .offset = AT(ca),
     .arg = "PEM",
     .required = true,
     .help = "Certificates of those who may have signed the key server's certificate."},
    {.name = "site",
     .type = CONFIG_LIST,
     .offset = AT(site),
     .arg = "PEM",
     .required = true,
     .help = "A site's certificate and chain, without private key. May be given many times; an RSA and an EC "
             "certificate for one name are both used."},
    {.name = "root",
     .type = CONFIG_STRING,
     .offset = AT(root),
     .arg = "DIR",
     .required = true,
     .help = "The folder that is served."},
    {.name = "tls-max",
     .type = CONFIG_ENUM,
     .offset = AT(tls_max),
     .preset = "1.3",
     .choices = "1.2|1.3",
     .help = "Highest TLS version for users; the lowest is 1.2."},
    {.name = "threads",
     .type = CONFIG_UINT,
     .offset = AT(threads),
     .arg = "N",
     .preset = "0",
     .max = WORKERS_MAX,
     .help = "Worker threads; 0: one per processor."},
    {.name = "max-connections",
     .type = CONFIG_UINT,
     .offset = AT(max_connections),
     .arg = "N",
     .preset = "10000",
     .min = 1,
     .max = 1000000,
     .help = "Users' connections at once; more wait in the kernel's queue."},
    {.name = "handshake-timeout",
     .type = CONFIG_DURATION,
     .offset = AT(handshake_timeout),
     .arg = "TIME",
     .preset = "10s",
     .min = 1000,
     .max = 600000000,
     .help = "For a TLS handshake, the key server's part included."},
    {.name = "head-timeout",
     .type = CONFIG_DURATION,
     .offset = AT(head_timeout),
     .arg = "TIME",
     .preset = "10s",
     .min = 1000,
     .max = 600000000,
     .help = "From the first byte of a request to the end of its head."},
    {.name = "idle-timeout",
     .type = CONFIG_DURATION,
     .offset = AT(idle_timeout),
     .arg = "TIME",
     .preset = "30s",
     .min = 1000,
     .max = 3600000000,
     .help = "Between requests, and without progress of an answer."},
    {.name = "drain",
     .type = CONFIG_DURATION,
     .offset = AT(drain),
     .arg = "TIME",
     .preset = "5s",
     .min = 1000,
     .max = 600000000,
     .help = "At SIGTERM: how long answers under way may take."},
    {.name = "keyserver-connections",
     .type = CONFIG_UINT,
     .offset = AT(keyserver_connections),
     .arg = "N",
     .preset = "2",
     .min = 1,
     .max = 256,
     .help = "Persistent connections to the key server."},
    {.name = "keyserver-in-flight",
     .type = CONFIG_UINT,
     .offset = AT(keyserver_in_flight),
     .arg = "N",
     .preset = "64",
     .min = 1,
     .max = 4096,
     .help = "Requests under way on one of them."},
    {.name = "keyserver-timeout",
     .type = CONFIG_DURATION,
     .offset = AT(keyserver_timeout),
     .arg = "TIME",
     .preset = "5s",
     .min = 1000,
     .max = 600000000,
     .help = "For an answer of the key server."},
    {.name = "log-level",
     .type = CONFIG_ENUM,
     .offset = AT(log_level),
     .preset = "info",
     .choices = LOG_LEVEL_CHOICES,
     .help = "debug shows version, suite and name of each handshake, and each request's path."},
    {.name = "log-file",
     .type = CONFIG_STRING,
     .offset = AT(log_file),
     .arg = "FILE",
     .help = "Default: stderr. SIGHUP opens it anew."},
    {.name = "check", .type = CONFIG_FLAG, .offset = AT(check), .help = "Load everything, say OK, exit."},
};

static const struct config_spec spec = {
    .program = "edge-sim serve",
    .usage = "[OPTION]...",
    .summary =
        "HTTPS edge without private keys: the key server does the private-key operation of each handshake.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
};

struct edge {
    struct ski_client *client;
    OSSL_LIB_CTX *libctx;
    struct ski_provider *provider;
    struct edge_sites *sites;
    struct file_root *root;
    struct edge_shared shared;
    struct edge_worker *workers[WORKERS_MAX];
    unsigned worker_count;
};

static unsigned ms(uint64_t us)
{
    return (unsigned)(us / 1000);
}

static bool open_keyserver(struct edge *edge, const struct serve_options *o, struct error *e)
{
    struct tls_files files = {.cert_file = o->cert, .key_file = o->key, .ca_file = o->ca};
    struct ski_client_config config = {.connections = (unsigned)o->keyserver_connections,
                                       .in_flight = (unsigned)o->keyserver_in_flight,
                                       .timeout_ms = ms(o->keyserver_timeout)};
    edge->client = ski_client_create(o->keyserver, &files, &config, e);
    return edge->client != NULL;
}

static bool load_sites(struct edge *edge, const struct serve_options *o, struct error *e)
{
    // A library context of its own: nothing but the users' TLS can meet the provider's keys.
    edge->libctx = OSSL_LIB_CTX_new();
    edge->provider = ski_provider_load(edge->libctx, ski_client_transport(edge->client), 0, e);
    if (edge->provider == NULL)
        return false;
    struct edge_site_options site_options = {.libctx = edge->libctx,
                                             .provider = edge->provider,
                                             .tls_max = o->tls_max == 0 ? TLS1_2_VERSION : TLS1_3_VERSION};
    edge->sites = edge_sites_create(o->site.items, o->site.count, &site_options, e);
    return edge->sites != NULL && (edge->root = file_root_open(o->root, e)) != NULL;
}

static bool start_workers(struct edge *edge, const struct serve_options *o, struct error *e)
{
    struct net_addr addr, bound;
    char text[NET_ADDR_TEXT];
    if (!net_addr_parse(o->listen, &addr, e) ||
        (edge->shared.listen_fd = net_listen(&addr, 1024, &bound, e)) < 0)
        return false;
    edge->shared.sites = edge->sites;
    edge->shared.root = edge->root;
    edge->shared.max_connections = (unsigned)o->max_connections;
    edge->shared.handshake_ms = ms(o->handshake_timeout);
    edge->shared.head_ms = ms(o->head_timeout);
    edge->shared.idle_ms = ms(o->idle_timeout);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t wanted = o->threads != 0 ? o->threads : (uint64_t)(cpus > 0 ? cpus : 1);
    while (edge->worker_count < wanted && edge->worker_count < WORKERS_MAX) {
        struct edge_worker *worker = edge_worker_start(&edge->shared, e);
        if (worker == NULL)
            return false;
        edge->workers[edge->worker_count++] = worker;
    }
    // In words as well as for scripts that wait for a free port.
    log_info("listening", "addr=%s threads=%u names=%zu",
             net_addr_format((struct sockaddr *)&bound.ss, bound.len, text), edge->worker_count,
             edge_sites_names(edge->sites));
    log_flush();
    report("listening on %s", text);
    return true;
}

static void stop(struct edge *edge, unsigned drain_ms)
{
    for (unsigned i = 0; i < edge->worker_count; i++)
        edge_worker_drain(edge->workers[i], drain_ms);
    for (unsigned i = 0; i < edge->worker_count; i++)
        edge_worker_join(&edge->workers[i]);
    if (edge->shared.listen_fd >= 0)
        (void)close(edge->shared.listen_fd);
    file_root_close(&edge->root);
    edge_sites_destroy(&edge->sites);
    ski_provider_unload(&edge->provider);
    OSSL_LIB_CTX_free(edge->libctx);
    ski_client_destroy(&edge->client);
}

static void wait_for_signal(const sigset_t *signals)
{
    int number = 0;
    do {
        if (number == SIGHUP)
            log_reopen();
        if (sigwait(signals, &number) != 0)
            return;
    } while (number == SIGHUP);
    log_info("stopping", "signal=%s", number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void log_totals(struct edge *edge)
{
    struct ski_client_stats stats;
    ski_client_stats(edge->client, &stats);
    log_info("served",
             "connections=%llu handshakes=%llu handshake_failures=%llu requests=%llu ski_answered=%llu "
             "ski_unanswered=%llu",
             (unsigned long long)edge->shared.accepted, (unsigned long long)edge->shared.handshakes,
             (unsigned long long)edge->shared.handshake_failures, (unsigned long long)edge->shared.requests,
             (unsigned long long)stats.answered, (unsigned long long)stats.unanswered);
}

static int run(const struct serve_options *o, const sigset_t *signals)
{
    static struct edge edge;
    struct error e = {{0}};
    edge.shared.listen_fd = -1;
    int status = EXIT_FAILED;
    if (open_keyserver(&edge, o, &e) && load_sites(&edge, o, &e)) {
        if (o->check) {
            report("OK: %zu site files, %zu names", o->site.count, edge_sites_names(edge.sites));
            status = EXIT_DONE;
        } else if (start_workers(&edge, o, &e)) {
            wait_for_signal(signals);
            log_totals(&edge);
            status = EXIT_DONE;
        }
    }
    if (status != EXIT_DONE)
        report("%s", e.text);
    stop(&edge, ms(o->drain));
    return status;
}

int serve_main(int argc, char **argv)
{
    struct serve_options o = {0};
    struct error e = {{0}};
    sigset_t signals;
    bool locked = false;
    enum config_result result = config_read(&spec, argc, argv, &o, NULL);
    if (result != CONFIG_OK)
        return result == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    // Before any thread exists, so that all of them leave these signals to this one.
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    int status = EXIT_FAILED;
    if (!secmem_setup(SECURE_HEAP_BYTES, &locked, &e) || !process_harden(&e) ||
        !log_setup("edge-sim", (enum log_level)o.log_level, o.log_file, &e)) {
        report("%s", e.text);
    } else {
        if (!locked)
            log_warn("memory_not_locked", "limit=RLIMIT_MEMLOCK");
        status = run(&o, &signals);
        log_teardown();
    }
    config_release(&spec, &o, NULL);
    return status;
}
