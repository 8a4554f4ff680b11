#include <stddef.h>
#include <stdio.h>

#include "certs/cli.h"
#include "certs/commands.h"
#include "certs/text.h"
#include "common/masterkey.h"

struct options {
    char *out, *passphrase_fd;
    bool json;
};

static const struct config_option table[] = {
    {.name = "out",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, out),
     .arg = "FILE",
     .help = "The file to make, mode 0600. An existing one is never overwritten: keys sealed under it would "
             "be lost. Keep a copy in a safe "
             "place, and neither beside the store.",
     .required = true},
    {.name = "passphrase-fd",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, passphrase_fd),
     .arg = "N",
     .help = "Protect it by a passphrase of at least 8 bytes (scrypt): the first line that is read from this "
             "open descriptor. Whoever uses the key gives the passphrase again."},
    CLI_JSON(struct options, "Print the result as JSON."),
};

static const struct config_spec spec = {
    .program = "certs",
    .usage = "master-key --out FILE [OPTION]...",
    .summary = "Makes a random master key, under which private keys are sealed in the store (AES-256-GCM).",
    .options = table,
    .option_count = CLI_COUNT(table),
};

static bool run(const struct options *o)
{
    struct error e = {""};
    char id[17], path[TEXT_PATH_LEN];
    struct seal_key *key = master_key_generate(o->out, o->passphrase_fd, &e);
    if (key == NULL) {
        report("%s", e.text);
        return false;
    }
    seal_key_id(key, id);
    seal_key_destroy(&key);
    if (o->json)
        (void)text_json_line(stdout, json_pack("{s:o, s:s}", "file", text_json(o->out), "id", id));
    else
        (void)printf("created %s (master key %s)\n", text_printable(o->out, path), id);
    return cli_finish_output();
}

int cmd_master_key(int argc, char *const *argv)
{
    struct options o = {0};
    int status = cli_read(&spec, argc, argv, &o, NULL);
    if (status >= 0)
        return status;
    status = run(&o) ? EXIT_DONE : EXIT_FAILED;
    config_release(&spec, &o, NULL);
    return status;
}
