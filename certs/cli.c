#include "certs/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/masterkey.h"

int cli_read(const struct config_spec *spec, int argc, char *const *argv, void *target,
             struct config_list *positional)
{
    switch (config_read(spec, argc, argv, target, positional)) {
    case CONFIG_OK:
        return -1;
    case CONFIG_EXIT:
        return EXIT_DONE;
    case CONFIG_USAGE:
        break;
    }
    return EXIT_USAGE;
}

struct store *cli_open_store(const char *dir, bool create)
{
    struct error e = {""};
    struct store *store = store_open(dir, create, &e);
    if (store == NULL)
        report("%s", e.text);
    return store;
}

bool cli_load_master(const char *source, const char *passphrase_fd, struct seal_key **master)
{
    struct error e = {""};
    *master = NULL;
    if (source == NULL && passphrase_fd != NULL) {
        report("--master-key-passphrase-fd: needs --master-key");
        return false;
    }
    if (source == NULL)
        return true;
    *master = master_key_load(source, passphrase_fd, &e);
    if (*master == NULL)
        report("%s", e.text);
    return *master != NULL;
}

bool cli_finish_output(void)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return true;
    report("standard output: write: %s", strerror(errno));
    return false;
}
