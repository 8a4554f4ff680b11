#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "certs/cli.h"
#include "certs/commands.h"
#include "certs/names.h"
#include "certs/recode.h"
#include "certs/text.h"

struct options {
    char *store, *master_key, *master_key_fd, *new_master_key, *new_master_key_fd;
    bool json;
};

static const struct config_option table[] = {
    CLI_STORE(struct options),
    CLI_MASTER(struct options, "The master key that the keys are sealed under.", .required = true),
    {.name = "new-master-key",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, new_master_key),
     .arg = "FILE|credential:NAME",
     .required = true,
     .help = "The one to seal them under."},
    {.name = "new-master-key-passphrase-fd",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, new_master_key_fd),
     .arg = "N",
     .help = "Open descriptor whose first line is the passphrase that protects it; another than the old "
             "key's."},
    CLI_JSON(struct options, "Print one JSON object a line: each key, then the summary."),
};

static const struct config_spec spec = {
    .program = "certs",
    .usage = "rekey --store DIR --master-key OLD --new-master-key NEW [OPTION]...",
    .summary = "Seals all keys of a store under a new master key. A key server that has the store open must "
               "have been given the new one first (new-master-key, SIGHUP); it goes on serving. Each key is "
               "replaced at once, so that a crash loses none, and running it again does the rest. Keep the "
               "old master key until a run ends with no faults, and as long as backups of the store.",
    .options = table,
    .option_count = CLI_COUNT(table),
};

static void print_counts(const struct options *o, const struct recode_counts *c)
{
    if (o->json)
        (void)text_json_line(stdout,
                             json_pack("{s:{s:I, s:I, s:I, s:I}}", "summary", "rekeyed",
                                       (json_int_t)c->recoded, "unchanged", (json_int_t)c->unchanged, "left",
                                       (json_int_t)c->whole, "faults", (json_int_t)c->faults));
    else
        (void)printf("rekeyed %" PRIu64 ", unchanged %" PRIu64 ", left %" PRIu64 ", faults %" PRIu64 "\n",
                     c->recoded, c->unchanged, c->whole, c->faults);
}

static bool run_in(struct store *store, const struct options *o, const struct seal_key *master,
                   const struct seal_key *fresh)
{
    const struct recode_options options = {.master = master, .fresh = fresh, .json = o->json, .out = stdout};
    struct recode_counts counts = {0};
    struct names names = {0};
    struct error e = {""};
    char id[17];
    seal_key_id(fresh, id);
    bool done = store_accepts_key(store, id, &e) && names_collect(store, &names, &e) &&
                recode_names(store, &names, &options, &counts, &e);
    if (done)
        print_counts(o, &counts);
    else
        report("rekey: %s", e.text);
    names_release(&names);
    return done && counts.faults == 0;
}

static bool run(const struct options *o)
{
    struct seal_key *master = NULL, *other = NULL;
    struct store *store = NULL;
    bool ok = cli_load_master(o->master_key, o->master_key_fd, &master) &&
              cli_load_master(o->new_master_key, o->new_master_key_fd, &other);
    if (ok) {
        seal_key_accept(master, &other);
        const struct seal_key *fresh = seal_key_next(master);
        if (fresh == NULL)
            report("rekey: --new-master-key is the key of --master-key");
        ok = fresh != NULL && (store = cli_open_store(o->store, false)) != NULL &&
             run_in(store, o, master, fresh);
    }
    store_close(&store);
    seal_key_destroy(&other);
    seal_key_destroy(&master);
    return cli_finish_output() && ok;
}

int cmd_rekey(int argc, char *const *argv)
{
    struct options o = {0};
    int status = cli_read(&spec, argc, argv, &o, NULL);
    if (status >= 0)
        return status;
    status = run(&o) ? EXIT_DONE : EXIT_FAILED;
    config_release(&spec, &o, NULL);
    return status;
}
