// bench_peers: hostile peers of one kind against a key server, until SIGTERM. Says `ready` when they are all there, and at the end in JSON what
// they came to.
#include "tests/bench/hostile/peers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/config.h"
#include "common/config_rows.h"
#include "common/report.h"
#include "common/tls.h"

#define COUNT_MOST   20000
#define STACK_BYTES  (256u << 10)
#define REQUEST_MOST 65536

struct options {
    char *connect, *cert, *key, *ca, *request;
    uint64_t kind, count, share;
};

#define AT(field) offsetof(struct options, field)
static const struct config_option table[] = {
    TEXT("connect", connect, "ADDR:PORT", NULL, "The key server."),
    TEXT("cert", cert, "PEM", NULL, "Certificate of an edge."),
    TEXT("key", key, "PEM", NULL, "Its key."),
    TEXT("ca", ca, "PEM", NULL, "Who signed the server's certificate."),
    TEXT("request", request, "FILE", NULL, "A whole HTTP request that the server answers."),
    CHOICE("kind", kind, "idle", "idle|slow|connect|garbage|hello|handshake|deaf|reset",
           "What they do (peers.h)."),
    NUMBER("count", count, CONFIG_UINT, "N", "100", 1, COUNT_MOST, "How many."),
    NUMBER("share", share, CONFIG_UINT, "N", "1", 1, COUNT_MOST, "So many have one address."),
};
static const struct config_spec spec = {
    .program = "bench_peers",
    .usage = "--connect ADDR:PORT --cert PEM --key PEM --ca PEM --request FILE [OPTION]...",
    .summary = "Hostile peers for measuring what they take from others. Ends on SIGTERM.",
    .options = table,
    .option_count = sizeof table / sizeof table[0],
};

enum { KIND_IDLE, KIND_SLOW, KIND_FLOODS };
static const peers_flood floods[] = {peers_flood_connect,   peers_flood_garbage, peers_flood_hello,
                                     peers_flood_handshake, peers_flood_deaf,    peers_flood_reset};

static struct peers peers;

static void on_signal(int number)
{
    (void)number;
    peers.stop = true;
}

static void say_ready(void)
{
    (void)puts("ready");
    (void)fflush(stdout);
}

// ---- floods: a thread for each peer

struct flooder {
    peers_flood turn;
    unsigned who;
};

static void *flood(void *arg)
{
    const struct flooder *f = arg;
    while (!peers.stop)
        f->turn(&peers, f->who);
    return NULL;
}

static bool run_floods(peers_flood turn)
{
    pthread_t *threads = calloc(peers.count, sizeof *threads);
    struct flooder *flooders = calloc(peers.count, sizeof *flooders);
    pthread_attr_t attr;
    unsigned started = 0;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (; threads != NULL && flooders != NULL && started < peers.count; started++) {
        flooders[started] = (struct flooder){.turn = turn, .who = started};
        if (pthread_create(&threads[started], &attr, flood, &flooders[started]) != 0)
            break;
    }
    bool all = started == peers.count;
    if (all)
        say_ready();
    else
        peers.stop = true;
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_attr_destroy(&attr);
    free(threads);
    free(flooders);
    if (!all)
        report("start a thread: %s", strerror(errno));
    return all;
}

// ---- set-up

static bool read_request(const char *path)
{
    FILE *in = fopen(path, "r");
    peers.request = calloc(1, REQUEST_MOST + 1); // ends with a NUL
    if (in != NULL && peers.request != NULL)
        peers.request_len = fread(peers.request, 1, REQUEST_MOST, in);
    if (in != NULL)
        (void)fclose(in);
    if (peers.request_len == 0)
        report("%s: found no request", path);
    return peers.request_len > 0;
}

static bool set_up(const struct options *o)
{
    const struct tls_files files = {.cert_file = o->cert, .key_file = o->key, .ca_file = o->ca};
    struct error e;
    peers.count = (unsigned)o->count;
    peers.share = (unsigned)o->share;
    if (!net_addr_parse(o->connect, &peers.server, &e) ||
        (peers.tls = tls_client_ctx_create(&files, &e)) == NULL) {
        report("%s", e.text);
        return false;
    }
    return read_request(o->request) && peers_record_hello(&peers);
}

static void many_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static bool run(const struct options *o)
{
    if (o->kind == KIND_IDLE)
        peers_idle(&peers, say_ready);
    else if (o->kind == KIND_SLOW)
        peers_slow(&peers, say_ready);
    else if (!run_floods(floods[o->kind - KIND_FLOODS]))
        return false;
    printf("{\"connects\": %llu, \"failed\": %llu, \"turns\": %llu, \"ended\": %llu}\n",
           (unsigned long long)peers.connects, (unsigned long long)peers.failed,
           (unsigned long long)peers.turns, (unsigned long long)peers.ended);
    return true;
}

int main(int argc, char **argv)
{
    const struct sigaction end = {.sa_handler = on_signal};
    struct options options = {0};
    report_set_program("bench_peers");
    enum config_result read = config_read(&spec, argc, argv, &options, NULL);
    if (read != CONFIG_OK)
        return read == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    if (options.connect == NULL || options.cert == NULL || options.key == NULL || options.ca == NULL ||
        options.request == NULL) {
        report("needs --connect, --cert, --key, --ca and --request");
        return EXIT_USAGE;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigaction(SIGTERM, &end, NULL);
    many_descriptors();
    bool ok = set_up(&options) && run(&options);
    SSL_CTX_free(peers.tls);
    free(peers.hello);
    free(peers.request);
    config_release(&spec, &options, NULL);
    return ok ? EXIT_DONE : EXIT_FAILED;
}
