#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "certs/cli.h"
#include "certs/commands.h"
#include "certs/text.h"
#include "certs/verify.h"

struct options {
    char *store, *master_key, *master_key_fd;
    bool deep, json;
};

static const struct config_option table[] = {
    CLI_STORE(struct options),
    CLI_MASTER(struct options, "The master key file. Without it sealed keys are counted, but not opened."),
    {.name = "deep",
     .type = CONFIG_FLAG,
     .offset = offsetof(struct options, deep),
     .help = "Also sign with every key and check that all its numbers belong together (milliseconds a key)."},
    CLI_JSON(struct options, "Print one JSON object a line: each fault, then the summary."),
};

static const struct config_spec spec = {
    .program = "certs",
    .usage = "verify --store DIR [--master-key FILE] [OPTION]...",
    .summary = "Checks that every key of a store opens, decodes and is the one its name says, and that the "
               "names of certificates lead to their keys. "
               "The exit status is 1 when there is any fault.",
    .options = table,
    .option_count = CLI_COUNT(table),
};

static void print_summary(const struct options *o, const struct verify_counts *c)
{
    if (o->json) {
        (void)text_json_line(stdout,
                             json_pack("{s:{s:I, s:I, s:I, s:I, s:I, s:I}}", "summary", "keys",
                                       (json_int_t)c->keys, "compact", (json_int_t)c->compact, "unopened",
                                       (json_int_t)c->unopened, "aliases", (json_int_t)c->aliases, "others",
                                       (json_int_t)c->others, "faults", (json_int_t)c->faults));
        return;
    }
    (void)printf("keys %" PRIu64 ", aliases %" PRIu64 ", faults %" PRIu64 "\n", c->keys, c->aliases,
                 c->faults);
    if (c->compact != 0)
        (void)printf("%" PRIu64 " keys are compact\n", c->compact);
    if (c->unopened != 0)
        (void)printf("%" PRIu64 " keys are sealed and were not opened: no --master-key\n", c->unopened);
    if (c->others != 0)
        (void)printf("%" PRIu64 " entries of the store are no keys\n", c->others);
}

static bool run(const struct options *o)
{
    struct error e = {""};
    struct seal_key *master = NULL;
    struct store *store = NULL;
    struct verify_counts counts = {0};
    bool ok = cli_load_master(o->master_key, o->master_key_fd, &master) && (store = cli_open_store(o->store, false)) != NULL;
    const struct verify_options options = {.master = master, .deep = o->deep, .json = o->json, .out = stdout};
    if (ok && !verify_store(store, &options, &counts, &e)) {
        report("verify: %s", e.text);
        ok = false;
    } else if (ok) {
        print_summary(o, &counts);
    }
    store_close(&store);
    seal_key_destroy(&master);
    return cli_finish_output() && ok && counts.faults == 0;
}

int cmd_verify(int argc, char *const *argv)
{
    struct options o = {0};
    int status = cli_read(&spec, argc, argv, &o, NULL);
    if (status >= 0)
        return status;
    status = run(&o) ? EXIT_DONE : EXIT_FAILED;
    config_release(&spec, &o, NULL);
    return status;
}
