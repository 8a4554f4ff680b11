#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/cli.h"
#include "certs/commands.h"
#include "certs/pki.h"
#include "certs/text.h"

struct options {
    char *out;
    struct config_list servers, edges;
    uint64_t days;
    bool force, json;
};

static const struct config_option table[] = {
    {.name = "out",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, out),
     .arg = "DIR",
     .help = "The folder to write to, made with mode 0700 when it is missing. A CA that is in it already is "
             "used again.",
     .required = true},
    {.name = "server",
     .type = CONFIG_LIST,
     .offset = offsetof(struct options, servers),
     .arg = "NAME[,NAME]...",
     .help = "A name of the key server: a DNS name or an IP address, as edges connect to it (add localhost "
             "or 127.0.0.1 where they do). "
             "All names go into one certificate."},
    {.name = "edge",
     .type = CONFIG_LIST,
     .offset = offsetof(struct options, edges),
     .arg = "NAME[=URI][,...]",
     .help = "An edge server that gets a client certificate: its identity is the DNS name NAME, or the URI. "
             "Further names may follow "
             "without the option."},
    {.name = "days",
     .type = CONFIG_UINT,
     .offset = offsetof(struct options, days),
     .arg = "N",
     .preset = "825",
     .min = 1,
     .max = PKI_CA_DAYS,
     .help = "How long server and edge certificates are valid; the CA is for 10 years."},
    {.name = "force",
     .type = CONFIG_FLAG,
     .offset = offsetof(struct options, force),
     .help = "Make the server's and the named edges' keys and certificates anew even where they exist. The "
             "CA is never replaced."},
    CLI_JSON(struct options, "Print the files as JSON lines."),
};

static const struct config_spec spec = {
    .program = "certs",
    .usage = "pki --out DIR [--server NAME]... [--edge NAME...] [OPTION]...",
    .summary = "Makes a CA, a certificate for the key server and one for each edge (ECDSA P-256), for the "
               "mutual TLS between them. Run again on "
               "the same folder it adds what is missing.",
    .options = table,
    .option_count = CLI_COUNT(table),
    .positional = true,
};

static void tell(void *arg, const char *path, bool kept)
{
    const struct options *o = arg;
    char shown[TEXT_PATH_LEN];
    const char *state = kept ? "kept" : "created";
    if (o->json)
        (void)text_json_line(stdout, json_pack("{s:s, s:o}", "result", state, "file", text_json(path)));
    else
        (void)printf("%s %s\n", state, text_printable(path, shown));
}

// Makes one list of --edge values and of what follows them; the items stay with their owners.
static bool run(struct options *o, const struct config_list *more)
{
    struct error e = {""};
    size_t count = o->edges.count + more->count;
    char **edges = calloc(count + 1, sizeof *edges);
    if (edges == NULL) {
        report("pki: out of memory");
        return false;
    }
    if (o->edges.count > 0)
        memcpy(edges, o->edges.items, o->edges.count * sizeof *edges);
    if (more->count > 0)
        memcpy(edges + o->edges.count, more->items, more->count * sizeof *edges);
    const struct pki_options options = {.out = o->out,
                                        .servers = o->servers,
                                        .edges = {edges, count},
                                        .days = (unsigned)o->days,
                                        .force = o->force};
    bool ok = pki_make(&options, tell, o, &e);
    free(edges);
    if (!ok)
        report("%s", e.text);
    return ok;
}

int cmd_pki(int argc, char *const *argv)
{
    struct options o = {0};
    struct config_list more = {NULL, 0};
    int status = cli_read(&spec, argc, argv, &o, &more);
    if (status >= 0)
        return status;
    if (more.count > 0 && o.edges.count == 0) {
        report("pki: unexpected argument \"%.80s\": names of edges follow --edge", more.items[0]);
        status = EXIT_USAGE;
    } else {
        status = run(&o, &more) && cli_finish_output() ? EXIT_DONE : EXIT_FAILED;
    }
    config_release(&spec, &o, &more);
    return status;
}
