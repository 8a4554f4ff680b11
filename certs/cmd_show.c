#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "certs/certinfo.h"
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
    CLI_JSON(struct options, "Print JSON."),
};

static const struct config_spec spec = {
    .program = "certs",
    .usage = "show --store DIR [OPTION]... KEY",
    .summary = "Shows the public part of one key: what it is, its certificates and their fingerprints; never "
               "the key. KEY is a fingerprint (SHA-256 "
               "of the public key in Base64 or hex, or SHA-1 of a certificate in hex), the file of a "
               "certificate, or the name of one.",
    .options = table,
    .option_count = CLI_COUNT(table),
    .positional = true,
};

static void print_text(const struct record *record, const struct keyrecord_info *info)
{
    char kind[16], time[CERTINFO_TIME_LEN], alias[KEYRECORD_ALIAS_LEN + 1];
    (void)printf("spki      %s\n", record->name);
    (void)printf("key       %s\n", text_kind(info, kind));
    (void)printf("at rest   %s\n", info->sealed ? "sealed" : "plain");
    (void)printf("encoding  %s, %zu bytes\n", text_encoding(info->encoding), record->len);
    if (info->imported != 0)
        (void)printf("imported  %s\n", certinfo_time(info->imported, time));
    (void)printf("expires   %s\n",
                 record->expire_ms != 0 ? certinfo_time(record->expire_ms / 1000, time) : "never");
    for (unsigned i = 0; i < info->label_count; i++)
        (void)printf("label     %s\n", info->labels[i]);
    for (unsigned i = 0; i < info->cert_count; i++) {
        names_alias(info->certs[i].sha1, alias);
        (void)printf("certificate %s\n", info->certs[i].name);
        (void)printf("  until   %s\n", certinfo_time(info->certs[i].not_after, time));
        (void)printf("  sha1    %s\n", alias);
    }
}

static void print_json(const struct record *record, const struct keyrecord_info *info)
{
    char time[CERTINFO_TIME_LEN];
    json_t *value = text_json_info(record->name, info);
    if (value != NULL) {
        (void)json_object_set_new(value, "bytes", json_integer((json_int_t)record->len));
        (void)json_object_set_new(value, "expires",
                                  record->expire_ms != 0
                                      ? json_string(certinfo_time(record->expire_ms / 1000, time))
                                      : json_null());
    }
    (void)text_json_line(stdout, value);
}

static bool show(struct store *store, const struct options *o, const char *what, struct error *e)
{
    char name[KEYRECORD_NAME_LEN + 1];
    struct record record;
    struct keyrecord_info info;
    if (!names_resolve(store, what, true, name, e))
        return false;
    enum store_status found = record_get(store, name, &record, e);
    if (found == STORE_NOT_FOUND)
        error_set(e, "%s is not in the store", record.name);
    if (found != STORE_OK)
        return false;
    enum keyrecord_status status = keyrecord_read_info(record.value, record.len, &info);
    if (status != KEYRECORD_OK)
        error_set(e, "%s: %s", record.name, keyrecord_status_text(status));
    else if (o->json)
        print_json(&record, &info);
    else
        print_text(&record, &info);
    record_release(&record);
    return status == KEYRECORD_OK;
}

static bool run(const struct options *o, const char *what)
{
    struct error e = {""};
    struct store *store = cli_open_store(o->store, false);
    bool ok = store != NULL && show(store, o, what, &e);
    if (store != NULL && !ok)
        report("show: %s", e.text);
    store_close(&store);
    return cli_finish_output() && ok;
}

int cmd_show(int argc, char *const *argv)
{
    struct options o = {0};
    struct config_list what = {NULL, 0};
    int status = cli_read(&spec, argc, argv, &o, &what);
    if (status >= 0)
        return status;
    if (what.count != 1) {
        report("show: expected one KEY, found %zu", what.count);
        status = EXIT_USAGE;
    } else {
        status = run(&o, what.items[0]) ? EXIT_DONE : EXIT_FAILED;
    }
    config_release(&spec, &o, &what);
    return status;
}
