// kvcheck: the options, and the steps one after the other.
#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "common/config.h"
#include "kvstore/kvcheck.h"

#define EXIT_UNCHECKED 3 // open elsewhere, no store, or the check itself failed

struct options {
    bool repair, dry_run, json;
};

static const struct config_option table[] = {
    {.name = "repair",
     .type = CONFIG_FLAG,
     .offset = offsetof(struct options, repair),
     .help =
         "Make the store one that opens, of what is left: see the manual for what that means for each kind "
         "of damage. What is lost is printed. Keep a copy of the folder first."},
    {.name = "dry-run",
     .type = CONFIG_FLAG,
     .offset = offsetof(struct options, dry_run),
     .help = "Say what --repair would do, and change nothing."},
    {.name = "json",
     .type = CONFIG_FLAG,
     .offset = offsetof(struct options, json),
     .help = "Print one JSON object."},
};

static const struct config_spec spec = {
    .program = "kvcheck",
    .usage = "DIR [OPTION]...",
    .summary =
        "Checks every byte of a key store that no process has open, and repairs it. Exit status: 0 sound, or "
        "repaired without a loss; 1 damaged, or repaired with one; 2 wrong usage; 3 not checked: another "
        "process "
        "has it open, or it is no store.",
    .options = table,
    .option_count = sizeof table / sizeof table[0],
    .positional = true,
};

// Reads all there is. False: *e says why it cannot be checked.
static bool look(struct check *check, const char *dir, bool change, struct error *e)
{
    return check_begin(check, dir, change, e) && check_records(check, e) && check_snapshot(check, e) &&
           check_plan(check, e);
}

static bool print(const struct check *check, const struct options *o)
{
    bool ok = true;
    if (o->json)
        ok = check_print_json(check, stdout);
    else
        check_print(check, stdout, o->repair || o->dry_run);
    ok = fflush(stdout) == 0 && ferror(stdout) == 0 && ok;
    if (!ok)
        report("standard output: write failed");
    return ok;
}

// After a repair everything is read once more: what is still wrong has not been repaired.
static int judge_repair(const char *dir, bool lost, const struct options *o)
{
    struct check again;
    struct error e = {""};
    int status = EXIT_UNCHECKED;
    if (!look(&again, dir, false, &e))
        report("after the repair: %s", e.text);
    else
        status = check_is_damaged(&again) || lost ? EXIT_FAILED : EXIT_DONE;
    if (status != EXIT_UNCHECKED && !o->json)
        (void)printf("after the repair: keys %llu: %s\n", (unsigned long long)again.keys,
                     check_is_damaged(&again) ? "still damaged" : "sound");
    check_end(&again);
    return fflush(stdout) == 0 ? status : EXIT_UNCHECKED;
}

static int run(const char *dir, const struct options *o)
{
    struct check check;
    struct error e = {""};
    bool change = o->repair && !o->dry_run;
    bool looked = look(&check, dir, change, &e);
    bool ok = looked && (!change || check_apply(&check, &e));
    if (!ok)
        report("%s", e.text);
    bool printed = looked && print(&check, o);
    bool damaged = looked && check_is_damaged(&check), lost = looked && check_has_lost(&check);
    bool changed = change && check.action_count != 0;
    check_end(&check);
    if (!ok || !printed)
        return EXIT_UNCHECKED;
    return changed ? judge_repair(dir, lost, o) : damaged ? EXIT_FAILED : EXIT_DONE;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct config_list folders = {0};
    report_set_program("kvcheck");
    (void)signal(SIGPIPE, SIG_IGN);
    switch (config_read(&spec, argc, argv, &o, &folders)) {
    case CONFIG_OK:
        break;
    case CONFIG_EXIT:
        return EXIT_DONE;
    case CONFIG_USAGE:
        return EXIT_USAGE;
    }
    int status = EXIT_USAGE;
    if (folders.count != 1)
        report("expected one folder, found %zu (see kvcheck --help)", folders.count);
    else
        status = run(folders.items[0], &o);
    config_release(&spec, &o, &folders);
    return status;
}
