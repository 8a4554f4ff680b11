#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "certs/cli.h"
#include "certs/commands.h"
#include "certs/names.h"
#include "certs/recode.h"
#include "certs/text.h"

struct options {
    char *store, *master_key, *master_key_fd;
    unsigned encoding;
    bool json;
};

static const struct config_option table[] = {
    CLI_STORE(struct options),
    CLI_MASTER(struct options,
               "The master key file that opens sealed keys, and under which they are sealed again."),
    CLI_ENCODING(struct options, .required = true,
                 .help = "compact: RSA keys as their primes, a quarter of the space; pkcs8: as they were. "
                         "Either way the same bytes are "
                         "exported and the same key is served."),
    CLI_JSON(struct options, "Print one JSON object a line: each key, then the summary."),
};

static const struct config_spec spec = {
    .program = "certs",
    .usage = "recode --store DIR --master-key FILE --encoding pkcs8|compact [OPTION]... [KEY]...",
    .summary = "Keeps the keys of a store in another encoding: those named, or all. A key that is reported "
               "as recoded is durable; each is "
               "replaced at once, so that a crash loses none, and running it again does the rest. A key that "
               "has no compact form stays "
               "whole, and the reasons are counted. Plain keys stay plain and sealed keys sealed. KEY is a "
               "fingerprint or the file of "
               "a certificate.",
    .options = table,
    .option_count = CLI_COUNT(table),
    .positional = true,
};

static void print_json(const struct recode_counts *c)
{
    json_t *reasons = json_object();
    for (size_t i = 0; reasons != NULL && i < RECODE_REASONS && c->reasons[i].why != NULL; i++)
        (void)json_object_set_new(reasons, c->reasons[i].why, json_integer((json_int_t)c->reasons[i].count));
    (void)text_json_line(stdout, json_pack("{s:{s:I, s:I, s:I, s:I, s:I, s:I, s:o}}", "summary", "recoded",
                                           (json_int_t)c->recoded, "unchanged", (json_int_t)c->unchanged,
                                           "whole", (json_int_t)c->whole, "faults", (json_int_t)c->faults,
                                           "bytes_before", (json_int_t)c->bytes_before, "bytes",
                                           (json_int_t)c->bytes_after, "reasons", reasons));
}

static void print_text(const struct recode_counts *c)
{
    for (size_t i = 0; i < RECODE_REASONS && c->reasons[i].why != NULL; i++)
        (void)printf("%" PRIu64 " kept whole: %s\n", c->reasons[i].count, c->reasons[i].why);
    (void)printf("recoded %" PRIu64 ", unchanged %" PRIu64 ", whole %" PRIu64 ", faults %" PRIu64 "; %" PRIu64
                 " bytes became %" PRIu64 "\n",
                 c->recoded, c->unchanged, c->whole, c->faults, c->bytes_before, c->bytes_after);
}

// The records that the user means, each under its own name. One that is not there is reported, and the others go on.
static bool resolve(struct store *store, const struct config_list *keys, struct names *names)
{
    bool ok = true;
    memset(names, 0, sizeof *names);
    for (size_t i = 0; i < keys->count; i++) {
        char name[KEYRECORD_NAME_LEN + 1];
        struct error e = {""};
        struct record record = {.value = NULL};
        bool found = names_resolve(store, keys->items[i], false, name, &e);
        enum store_status status = found ? record_get(store, name, &record, &e) : STORE_FAILED;
        if (status == STORE_NOT_FOUND)
            error_set(&e, "%s is not in the store", record.name);
        else if (status == STORE_OK && !names_add(names, record.name))
            error_set(&e, "out of memory");
        if (e.text[0] != '\0') {
            report("recode: %s", e.text);
            ok = false;
        }
        record_release(&record);
    }
    return ok;
}

static bool run_in(struct store *store, const struct options *o, const struct config_list *keys,
                   const struct seal_key *master)
{
    const struct recode_options options = {
        .master = master, .encoding = (enum keyrecord_encoding)o->encoding, .json = o->json, .out = stdout};
    struct recode_counts counts = {0};
    struct names names = {0};
    struct error e = {""};
    bool ok = keys->count == 0 || resolve(store, keys, &names);
    bool listed = keys->count != 0 || names_collect(store, &names, &e);
    bool done = listed && recode_names(store, &names, &options, &counts, &e);
    if (!done)
        report("recode: %s", e.text);
    else if (o->json)
        print_json(&counts);
    else
        print_text(&counts);
    names_release(&names);
    return ok && done && counts.faults == 0;
}

static bool run(const struct options *o, const struct config_list *keys)
{
    struct seal_key *master = NULL;
    struct store *store = NULL;
    bool ok = cli_load_master(o->master_key, o->master_key_fd, &master) && (store = cli_open_store(o->store, false)) != NULL &&
              run_in(store, o, keys, master);
    store_close(&store);
    seal_key_destroy(&master);
    return cli_finish_output() && ok;
}

int cmd_recode(int argc, char *const *argv)
{
    struct options o = {0};
    struct config_list keys = {NULL, 0};
    int status = cli_read(&spec, argc, argv, &o, &keys);
    if (status >= 0)
        return status;
    status = run(&o, &keys) ? EXIT_DONE : EXIT_FAILED;
    config_release(&spec, &o, &keys);
    return status;
}
