#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
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
    CLI_JSON(struct options, "Print a JSON array, one key a line."),
};

static const struct config_spec spec = {
    .program = "certs",
    .usage = "list --store DIR [OPTION]...",
    .summary = "Lists the keys of a store with what their certificates say. Needs no master key.",
    .options = table,
    .option_count = CLI_COUNT(table),
};

static void print_row(const char *name, const struct keyrecord_info *info)
{
    char kind[16], date[CERTINFO_TIME_LEN];
    uint64_t latest = text_latest(info);
    (void)printf("%-44s  %-8s  %-7s  %-10s  ", name, text_kind(info, kind), info->sealed ? "sealed" : "plain",
                 latest != 0 ? certinfo_date(latest, date) : "-");
    for (unsigned i = 0; i < info->cert_count; i++)
        (void)printf("%s%s", i > 0 ? ", " : "", info->certs[i].name);
    (void)puts(info->cert_count == 0 ? "-" : "");
}

static void print_fault(const char *name, const char *why)
{
    (void)printf("%-44s  %s\n", name, why);
}

static json_t *json_fault(const char *name, const char *why)
{
    return json_pack("{s:s, s:s}", "spki", name, "fault", why);
}

struct listing {
    const struct options *options;
    uint64_t keys, faults;
};

static void print_json(struct listing *l, json_t *row)
{
    char *line = row != NULL ? json_dumps(row, JSON_COMPACT) : NULL;
    (void)printf("%s\n%s", l->keys + l->faults > 1 ? "," : "", line != NULL ? line : "null");
    free(line);
    json_decref(row);
}

// One name of the store. Aliases are no rows: their record lists them.
static bool list_one(struct listing *l, struct store *store, const char *name)
{
    struct error e = {""};
    struct keyrecord_info info;
    uint8_t *value = NULL;
    size_t len = 0;
    enum store_status found = store_get(store, name, strlen(name), &value, &len, NULL, &e);
    if (found == STORE_NOT_FOUND) // deleted or expired since the scan
        return true;
    const char *why = e.text;
    enum keyrecord_status status = KEYRECORD_MALFORMED;
    if (found == STORE_OK) {
        status = keyrecord_read_info(value, len, &info);
        why = keyrecord_status_text(status);
    }
    store_value_free(&value, len);
    if (status == KEYRECORD_IS_ALIAS)
        return true;
    bool ok = status == KEYRECORD_OK;
    (*(ok ? &l->keys : &l->faults))++;
    if (l->options->json)
        print_json(l, ok ? text_json_info(name, &info) : json_fault(name, why));
    else if (ok)
        print_row(name, &info);
    else
        print_fault(name, why);
    return ok;
}

static bool run(const struct options *o)
{
    struct error e = {""};
    struct names names = {0};
    struct listing l = {.options = o};
    struct store *store = cli_open_store(o->store, false);
    bool ok = store != NULL && names_collect(store, &names, &e);
    if (store != NULL && !ok)
        report("%s", e.text);
    if (ok) {
        if (o->json)
            (void)fputs("[", stdout);
        else
            (void)printf("%-44s  %-8s  %-7s  %-10s  %s\n", "SPKI FINGERPRINT", "KEY", "AT REST", "UNTIL",
                         "CERTIFICATES");
        for (size_t i = 0; i < names.count; i++)
            ok = list_one(&l, store, names.items[i]) && ok;
        if (o->json)
            (void)puts("\n]");
        else
            (void)printf("%" PRIu64 " keys\n", l.keys);
        if (l.faults != 0)
            report("list: %" PRIu64 " records cannot be read (certs verify says more)", l.faults);
    }
    names_release(&names);
    store_close(&store);
    return cli_finish_output() && ok;
}

int cmd_list(int argc, char *const *argv)
{
    struct options o = {0};
    int status = cli_read(&spec, argc, argv, &o, NULL);
    if (status >= 0)
        return status;
    status = run(&o) ? EXIT_DONE : EXIT_FAILED;
    config_release(&spec, &o, NULL);
    return status;
}
