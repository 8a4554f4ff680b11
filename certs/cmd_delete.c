// The record goes first: from then on no name answers with the key. What a crash may leave are aliases that
// lead nowhere; deleting the same key again finds and removes them, and verify shows them.
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "certs/cli.h"
#include "certs/commands.h"
#include "certs/names.h"
#include "certs/text.h"

struct options {
    char *store;
    bool json;
};

static const struct config_option table[] = {
    CLI_STORE(struct options),
    CLI_JSON(struct options, "Print one JSON object a line for each deleted key."),
};

static const struct config_spec spec = {
    .program = "certs",
    .usage = "delete --store DIR [OPTION]... KEY...",
    .summary = "Deletes keys with all names of their certificates; the bytes are erased from the store's "
               "files. A key is gone when it is reported. KEY "
               "is a fingerprint (SHA-256 of the public key in Base64 or hex, or SHA-1 of a certificate in "
               "hex) or the file of a certificate.",
    .options = table,
    .option_count = CLI_COUNT(table),
    .positional = true,
};

// Whether what stands under a certificate's name is this key: an alias of it, or the key itself in the Java
// form.
static bool belongs(struct store *store, const char *alias, const char *name)
{
    char target[KEYRECORD_NAME_LEN + 1];
    uint8_t *value = NULL;
    size_t len = 0;
    struct error ignored;
    enum store_status found = store_get(store, alias, strlen(alias), &value, &len, NULL, &ignored);
    bool yes = found == STORE_OK && (keyrecord_decode_alias(value, len, target) != KEYRECORD_IS_ALIAS ||
                                     strcmp(target, name) == 0);
    store_value_free(&value, len);
    return yes;
}

// The names besides its own under which a record is found: those it lists, or, when it cannot be read, all
// that point to it.
static bool find_aliases(struct store *store, const struct record *record, struct names *aliases,
                         struct error *e)
{
    static struct keyrecord_info info;
    memset(aliases, 0, sizeof *aliases);
    if (strlen(record->name) != KEYRECORD_NAME_LEN)
        return true;
    if (record->value == NULL || keyrecord_read_info(record->value, record->len, &info) != KEYRECORD_OK)
        return names_pointing_to(store, record->name, aliases, e);
    for (unsigned i = 0; i < info.cert_count; i++) {
        char alias[KEYRECORD_ALIAS_LEN + 1];
        names_alias(info.certs[i].sha1, alias);
        if (belongs(store, alias, record->name) && !names_add(aliases, alias)) {
            error_set(e, "out of memory");
            return false;
        }
    }
    return true;
}

static bool delete_record(struct store *store, const struct record *record, const struct names *aliases,
                          struct error *e)
{
    struct error outcome = {""};
    store_delete(store, record->name, strlen(record->name), &outcome);
    for (size_t i = 0; i < aliases->count; i++)
        store_delete(store, aliases->items[i], strlen(aliases->items[i]), &outcome);
    (void)store_flush(store);
    if (outcome.text[0] != '\0')
        error_set(e, "%s: %s", record->name, outcome.text);
    return outcome.text[0] == '\0';
}

static bool delete_one(struct store *store, const struct options *o, const char *what, struct error *e)
{
    char name[KEYRECORD_NAME_LEN + 1];
    struct record record;
    struct names aliases = {0};
    if (!names_resolve(store, what, false, name, e))
        return false;
    enum store_status found = record_get(store, name, &record, e);
    bool ok = found != STORE_FAILED && find_aliases(store, &record, &aliases, e);
    if (ok && found == STORE_NOT_FOUND && aliases.count == 0) {
        error_set(e, "%s is not in the store", record.name);
        ok = false;
    }
    ok = ok && delete_record(store, &record, &aliases, e);
    if (ok && o->json)
        (void)text_json_line(stdout, json_pack("{s:s, s:s, s:I}", "result", "deleted", "spki", record.name,
                                               "aliases", (json_int_t)aliases.count));
    else if (ok)
        (void)printf("deleted %s (%zu aliases)\n", record.name, aliases.count);
    names_release(&aliases);
    record_release(&record);
    return ok;
}

static bool run(const struct options *o, const struct config_list *keys)
{
    struct store *store = cli_open_store(o->store, false);
    bool ok = store != NULL;
    for (size_t i = 0; store != NULL && i < keys->count; i++) {
        struct error e = {""};
        if (!delete_one(store, o, keys->items[i], &e)) {
            report("delete: %s", e.text);
            ok = false;
        }
    }
    store_close(&store);
    return cli_finish_output() && ok;
}

int cmd_delete(int argc, char *const *argv)
{
    struct options o = {0};
    struct config_list keys = {NULL, 0};
    int status = cli_read(&spec, argc, argv, &o, &keys);
    if (status >= 0)
        return status;
    if (keys.count == 0) {
        report("delete: no KEY to delete");
        status = EXIT_USAGE;
    } else {
        status = run(&o, &keys) ? EXIT_DONE : EXIT_FAILED;
    }
    config_release(&spec, &o, &keys);
    return status;
}
