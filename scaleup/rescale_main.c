// rescale: an operator's hand on the scale-up controller. Options, then one question and its answer.
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "common/units.h"
#include "scaleup/rescale.h"
#include "scaleup/rescale_print.h"

struct options {
    char *address, *vnf, *target, *reason, *cert, *key, *ca;
    uint64_t min_bytes, deadline_us, priority, timeout_us;
    bool status, json;
};

#define AT(field) .offset = offsetof(struct options, field)

static const struct config_option table[] = {
    {.name = "connect",
     .type = CONFIG_STRING,
     AT(address),
     .arg = "ADDRESS",
     .required = true,
     .help = "Where scaleupd listens: unix:PATH, or HOST:PORT for TLS (with --cert, --key and --ca)."},
    {.name = "vnf",
     .type = CONFIG_STRING,
     AT(vnf),
     .arg = "NAME",
     .help = "Whose memory it is about. --status without it: all."},
    {.name = "target",
     .type = CONFIG_STRING,
     AT(target),
     .arg = "SIZE",
     .help = "The size wanted in all: above what is granted a raise, below it a return."},
    {.name = "min",
     .type = CONFIG_SIZE,
     AT(min_bytes),
     .arg = "SIZE",
     .max = MESSAGE_NUMBER_MAX,
     .help = "Of a raise: less than this is of no use, rather nothing."},
    {.name = "deadline",
     .type = CONFIG_DURATION,
     AT(deadline_us),
     .arg = "TIME",
     .preset = "30s",
     .min = 1000,
     .max = (uint64_t)86400 * 1000000,
     .help = "What is not done by then ends as it is."},
    {.name = "priority",
     .type = CONFIG_UINT,
     AT(priority),
     .arg = "N",
     .preset = "5",
     .max = 9,
     .help = "0 (least) to 9: who gives way to whom; at most the VNF's own."},
    {.name = "reason", .type = CONFIG_STRING, AT(reason), .arg = "TEXT", .help = "For the logs."},
    {.name = "status",
     .type = CONFIG_FLAG,
     AT(status),
     .help = "Print the pool and who has what of it, and change nothing."},
    {.name = "json", .type = CONFIG_FLAG, AT(json), .help = "Print one JSON object on one line."},
    {.name = "cert", .type = CONFIG_STRING, AT(cert), .arg = "FILE", .help = "TLS: own certificate, PEM."},
    {.name = "key", .type = CONFIG_STRING, AT(key), .arg = "FILE", .help = "TLS: own private key, PEM."},
    {.name = "ca",
     .type = CONFIG_STRING,
     AT(ca),
     .arg = "FILE",
     .help = "TLS: certificates of the CAs that may have signed scaleupd's, PEM."},
    {.name = "timeout",
     .type = CONFIG_DURATION,
     AT(timeout_us),
     .arg = "TIME",
     .preset = "10s",
     .min = 1000,
     .max = (uint64_t)3600 * 1000000,
     .help = "How long --status waits for its answer."},
};

static const struct config_spec spec = {
    .program = "rescale",
    .usage = "--connect ADDRESS (--vnf NAME --target SIZE | --status [--vnf NAME]) [OPTION]...",
    .summary =
        "Asks the scale-up controller for another size of a VNF's memory, or what there is. Exit status: 0 "
        "done; 1 not done, or only in part; 2 wrong usage.",
    .options = table,
    .option_count = sizeof table / sizeof table[0],
};

// What the session's thread tells main.
struct news {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool connected, failed, ended;
    message_text why; // failed
    struct response response;
    const struct options *options;
    bool interactive;
};

static void on_event(void *arg, const struct rescale_event *event)
{
    struct news *news = arg;
    (void)pthread_mutex_lock(&news->lock);
    if (event->type == RESCALE_CONNECTED)
        news->connected = true;
    // Once connected the session connects again by itself and asks again, unless it is not wanted.
    bool failed = event->type == RESCALE_REFUSED || (event->type == RESCALE_DISCONNECTED && !news->connected);
    if (failed && !news->failed) {
        news->failed = true;
        memcpy(news->why, event->detail, sizeof news->why);
    } else if (event->type == RESCALE_DISCONNECTED && !news->failed && news->interactive) {
        report("%s; connecting again", event->detail);
    }
    (void)pthread_cond_signal(&news->wake);
    (void)pthread_mutex_unlock(&news->lock);
}

static void on_response(void *arg, const struct response *response)
{
    struct news *news = arg;
    (void)pthread_mutex_lock(&news->lock);
    if (response->final) {
        news->response = *response;
        news->ended = true;
        (void)pthread_cond_signal(&news->wake);
    } else if (news->interactive) {
        (void)rescale_print_response(stdout, news->options->vnf, response);
    }
    (void)pthread_mutex_unlock(&news->lock);
}

// Until one of them is set; false when it has failed before.
static bool wait_for(struct news *news, const bool *what)
{
    (void)pthread_mutex_lock(&news->lock);
    while (!*what && !news->failed)
        (void)pthread_cond_wait(&news->wake, &news->lock);
    bool good = *what;
    if (!good)
        report("%s", news->why);
    (void)pthread_mutex_unlock(&news->lock);
    return good;
}

static int judge(bool good, bool printed)
{
    if (!printed)
        report("standard output: write failed");
    return good && printed ? EXIT_DONE : EXIT_FAILED;
}

static int show_status(struct rescale_session *session, const struct options *o)
{
    struct message status;
    struct error e = {""};
    if (!rescale_status(session, o->vnf, (unsigned)(o->timeout_us / 1000), &status, &e)) {
        report("%s", e.text);
        return EXIT_FAILED;
    }
    bool printed =
        o->json ? rescale_print_status_json(stdout, &status) : rescale_print_status(stdout, &status);
    message_release(&status);
    return judge(true, printed);
}

static int change(struct rescale_session *session, const struct options *o, uint64_t target,
                  struct news *news)
{
    const struct rescale_request request = {.target_bytes = target,
                                            .min_bytes = o->min_bytes,
                                            .deadline_ms = o->deadline_us / 1000,
                                            .priority = (unsigned)o->priority + 1,
                                            .reason = o->reason};
    if (!rescale_vnf_async(session, o->vnf, &request, on_response, news)) {
        report("%s: not asked: no memory", o->vnf);
        return EXIT_FAILED;
    }
    if (!wait_for(news, &news->ended))
        return EXIT_FAILED;
    const struct response *r = &news->response;
    bool printed =
        o->json ? rescale_print_response_json(stdout, o->vnf, r) : rescale_print_response(stdout, o->vnf, r);
    return judge(r->state == STATE_DONE, printed);
}

static int run(const struct options *o, uint64_t target)
{
    struct news news = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .options = o};
    const struct tls_files tls = {.cert_file = o->cert, .key_file = o->key, .ca_file = o->ca};
    const struct rescale_options options = {
        .address = o->address, .tls = o->cert != NULL ? &tls : NULL, .on_event = on_event, .arg = &news};
    struct error e = {""};
    news.interactive = !o->json && isatty(STDOUT_FILENO) == 1;
    struct rescale_session *session = rescale_open(&options, &e);
    if (session == NULL) {
        report("%s", e.text);
        return EXIT_FAILED;
    }
    int status = EXIT_FAILED;
    if (wait_for(&news, &news.connected))
        status = o->status ? show_status(session, o) : change(session, o, target, &news);
    rescale_close(&session);
    return status;
}

// What the table cannot say.
static bool check(const struct options *o, uint64_t *target)
{
    bool tls = strncmp(o->address, "unix:", 5) != 0,
         some = o->cert != NULL || o->key != NULL || o->ca != NULL;
    if (o->vnf != NULL && !message_name_is_good(o->vnf))
        report("--vnf: found \"%s\", expected 1 to 64 characters of A-Z a-z 0-9 . _ -", o->vnf);
    else if (o->status && o->target != NULL)
        report("--status and --target: expected one of them");
    else if (!o->status && (o->target == NULL || o->vnf == NULL))
        report("expected --vnf and --target, or --status (see rescale --help)");
    else if (o->target != NULL && (!units_parse_size(o->target, target) || *target > MESSAGE_NUMBER_MAX))
        report("--target: found \"%s\", expected a size such as 512mb or 4gb", o->target);
    else if (tls && (o->cert == NULL || o->key == NULL || o->ca == NULL))
        report("--connect %s: expected --cert, --key and --ca with it", o->address);
    else if (!tls && some)
        report("--connect %s: --cert, --key and --ca are for HOST:PORT", o->address);
    else
        return true;
    return false;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    uint64_t target = 0;
    report_set_program("rescale");
    (void)signal(SIGPIPE, SIG_IGN);
    switch (config_read(&spec, argc, argv, &o, NULL)) {
    case CONFIG_OK:
        break;
    case CONFIG_EXIT:
        return EXIT_DONE;
    case CONFIG_USAGE:
        return EXIT_USAGE;
    }
    int status = check(&o, &target) ? run(&o, target) : EXIT_USAGE;
    config_release(&spec, &o, NULL);
    return status;
}
