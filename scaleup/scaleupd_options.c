#include "scaleup/scaleupd_options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/daemon.h"
#include "common/net.h"

#define AT(field) offsetof(struct scaleupd_options, field)

static const struct config_option table[] = {
    DAEMON_OPTION_CONFIG(AT),
    {.name = "listen",
     .type = CONFIG_LIST,
     .offset = AT(listen),
     .arg = "unix:PATH|ADDR:PORT",
     .required = true,
     .help = "Where VNFs and operators connect. ADDR:PORT is with mutual TLS. "
             "Port 0 takes a free one, which the log "
             "names."},
    {.name = "pool",
     .type = CONFIG_SIZE,
     .offset = AT(pool),
     .arg = "SIZE",
     .required = true,
     .min = 1,
     .max = MESSAGE_NUMBER_MAX,
     .help = "The memory to share out: the grants of all VNFs together never exceed it."},
    {.name = "granularity",
     .type = CONFIG_SIZE,
     .offset = AT(granularity),
     .arg = "SIZE",
     .preset = "2mb",
     .min = 4096,
     .max = 1ull << 40,
     .help = "Grants are multiples of it. With QEMU a multiple of the virtio-mem device's block size."},
    {.name = "book",
     .type = CONFIG_STRING,
     .offset = AT(book),
     .arg = "FILE",
     .help = "Where it is written down who has been granted what, before it is said. Without it: the path of "
             "the first Unix socket with .book "
             "appended."},
    {.name = "backend",
     .type = CONFIG_ENUM,
     .offset = AT(backend),
     .choices = "cgroup|qmp|simulated",
     .preset = "cgroup",
     .help = "What makes a grant real, of VNFs whose line names nothing else: the limit of a cgroup, the "
             "memory of a QEMU machine, or nothing."},
    {.name = "cgroup-root",
     .type = CONFIG_STRING,
     .offset = AT(cgroup_root),
     .arg = "DIR",
     .help = "Without any --vnf: the memory cgroup of the VNF called NAME is DIR/NAME."},
    {.name = "vnf",
     .type = CONFIG_LIST,
     .offset = AT(vnf),
     .arg = "\"NAME KEY=VALUE...\"",
     .help = "A VNF that may ask; one option, or line of the file, for each. Keys: "
             "backend=cgroup|qmp|simulated; min=SIZE [0], never taken away; "
             "max=SIZE [the pool]; priority=0..9 [5], the most that its requests may have, and who gives way "
             "to whom; "
             "allow=uid:USER,gid:GROUP,cert:NAME, who may speak for it [nobody]; on-overdue=leave|force "
             "[leave], what happens when it does not "
             "give back in time; and those of its back-end (path=DIR for cgroup; scaleupd(1) has the "
             "others). Without any --vnf, the daemon's own "
             "user may use whatever name it likes."},
    {.name = "operator",
     .type = CONFIG_LIST,
     .offset = AT(operators),
     .arg = "uid:USER,gid:GROUP,cert:NAME",
     .help = "Who may see the status of all and change the size of any. Without "
             "it: the daemon's own user."},
    {.name = "socket-mode",
     .type = CONFIG_ENUM,
     .offset = AT(socket_mode),
     .choices = "auto|owner|all",
     .preset = "auto",
     .help = "Who may connect to Unix sockets at all: the daemon's user and root, or all. auto: all when a "
             "rule names somebody else. Each "
             "connection is checked against the rules in any case."},
    {.name = "cert",
     .type = CONFIG_STRING,
     .offset = AT(cert),
     .arg = "PEM",
     .help = "The server's certificate, then its intermediates. Needed to listen on ADDR:PORT."},
    {.name = "key",
     .type = CONFIG_STRING,
     .offset = AT(key),
     .arg = "PEM",
     .help = "The private key of that certificate."},
    {.name = "client-ca",
     .type = CONFIG_STRING,
     .offset = AT(client_ca),
     .arg = "PEM",
     .help = "Certification authorities of VNFs and operators: who shows no certificate of theirs does not "
             "get past the handshake."},
    {.name = "admin",
     .type = CONFIG_STRING,
     .offset = AT(admin),
     .arg = "ADDR:PORT",
     .help = "Plain HTTP for /metrics, /healthz and /status. Neither TLS nor authentication: keep it on "
             "loopback. Without it: none."},
    {.name = "lease",
     .type = CONFIG_DURATION,
     .offset = AT(lease),
     .arg = "TIME",
     .preset = "10s",
     .min = 100000,
     .max = 86400 * CONFIG_SECOND,
     .help = "A VNF of which nothing is heard for so long is gone: what it has above its minimum goes back "
             "into the pool. It pings three times as "
             "often."},
    {.name = "deadline",
     .type = CONFIG_DURATION,
     .offset = AT(deadline),
     .arg = "TIME",
     .preset = "30s",
     .min = 1000,
     .max = 86400 * CONFIG_SECOND,
     .help = "Of requests that have none of their own."},
    {.name = "hello-timeout",
     .type = CONFIG_DURATION,
     .offset = AT(hello_timeout),
     .arg = "TIME",
     .preset = "5s",
     .min = 1000,
     .max = 600 * CONFIG_SECOND,
     .help = "For the TLS handshake, and again for the first message."},
    {.name = "max-connections",
     .type = CONFIG_UINT,
     .offset = AT(max_connections),
     .arg = "N",
     .preset = "256",
     .min = 16,
     .max = 10000,
     .help = "Connections at the same time; 8 of them are kept for operators."},
    DAEMON_OPTION_ROWS(
        AT, "Where to log, instead of stderr; reopened on SIGHUP.",
        "The least important level that is logged.",
        "Read everything (configuration, certificates, VNFs and their back-ends' settings), say OK or "
        "what is wrong, and end. The book is not "
        "opened: a daemon that runs has it."),
};

const struct config_spec scaleupd_spec = {
    .program = "scaleupd",
    .usage = "[OPTION]...",
    .summary = "Shares a pool of memory out among virtual network functions that ask for more and give back: "
               "the platform's side of the rescale "
               "protocol.",
    .options = table,
    .option_count = sizeof table / sizeof table[0],
};

const struct backend_class *scaleupd_backend(const struct scaleupd_options *options)
{
    static const struct backend_class *const choices[] = {&backend_cgroup, &backend_qmp, &backend_simulated};
    return choices[options->backend];
}

// ---- what the lines say

static bool is_unix(const char *address)
{
    return strncmp(address, "unix:", 5) == 0;
}

static bool check_addresses(const struct scaleupd_options *o, struct scaleupd_settings *s, struct error *e)
{
    struct net_addr addr;
    for (size_t i = 0; i < o->listen.count; i++) {
        if (!net_addr_parse_option("listen", o->listen.items[i], &addr, e))
            return false;
        s->tls = s->tls || !is_unix(o->listen.items[i]);
    }
    if (!net_addr_parse_option("admin", o->admin, &addr, e))
        return false;
    if (s->tls && (o->cert == NULL || o->key == NULL || o->client_ca == NULL)) {
        error_set(e, "--listen: an address that is no Unix socket needs --cert, --key and --client-ca");
        return false;
    }
    return true;
}

static bool choose_book(const struct scaleupd_options *o, struct scaleupd_settings *s, struct error *e)
{
    const char *socket = NULL;
    for (size_t i = 0; i < o->listen.count && socket == NULL; i++)
        if (is_unix(o->listen.items[i]))
            socket = o->listen.items[i] + 5;
    if (o->book == NULL && socket == NULL) {
        error_set(e, "--book: needed where no Unix socket shows a place for it");
        return false;
    }
    int written = o->book != NULL ? asprintf(&s->book, "%s", o->book) : asprintf(&s->book, "%s.book", socket);
    if (written >= 0)
        return true;
    s->book = NULL;
    error_set(e, "out of memory");
    return false;
}

static bool read_operators(const struct scaleupd_options *o, struct scaleupd_settings *s, struct error *e)
{
    struct error why;
    for (size_t i = 0; i < o->operators.count; i++)
        if (!access_add(&s->operators, o->operators.items[i], &why)) {
            error_set(e, "--operator: %.400s", why.text);
            return false;
        }
    if (o->operators.count == 0 && !access_add_user(&s->operators, geteuid())) {
        error_set(e, "out of memory");
        return false;
    }
    return true;
}

// Sizes that make no sense together; the sum of the minimums is the broker's to check.
static bool check_sizes(const struct scaleupd_options *o, const struct scaleupd_settings *s, struct error *e)
{
    if (o->pool < o->granularity) {
        error_set(e, "--pool: found less than one unit of --granularity");
        return false;
    }
    struct vnf_line line;
    struct error why;
    if (s->vnfs.count == 0) { // any name will do here: can the back-end work without a line?
        if (!vnf_line_implicit("NAME", scaleupd_backend(o), o->cgroup_root, &line, &why)) {
            error_set(e, "--vnf: none is given, and %.400s", why.text + strlen("NAME: "));
            return false;
        }
        vnf_line_release(&line);
    }
    return true;
}

static bool wants_open_socket(const struct scaleupd_options *o, const struct scaleupd_settings *s)
{
    bool others = access_names_others(&s->operators, geteuid());
    for (size_t i = 0; i < s->vnfs.count; i++)
        others = others || access_names_others(&s->vnfs.items[i].allow, geteuid());
    return o->socket_mode == SOCKET_ALL || (o->socket_mode == SOCKET_AUTO && others);
}

bool scaleupd_settings_read(const struct scaleupd_options *options, struct scaleupd_settings *settings,
                            struct error *e)
{
    struct error why;
    *settings = (struct scaleupd_settings){0};
    bool good = check_addresses(options, settings, e) && choose_book(options, settings, e) &&
                read_operators(options, settings, e);
    if (good && !vnf_lines_parse(&options->vnf, scaleupd_backend(options), &settings->vnfs, &why)) {
        error_set(e, "--vnf: %.400s", why.text);
        good = false;
    }
    if (good && check_sizes(options, settings, e)) {
        settings->open_socket = wants_open_socket(options, settings);
        return true;
    }
    scaleupd_settings_release(settings);
    return false;
}

void scaleupd_settings_release(struct scaleupd_settings *settings)
{
    vnf_lines_release(&settings->vnfs);
    access_release(&settings->operators);
    free(settings->book);
    *settings = (struct scaleupd_settings){0};
}
