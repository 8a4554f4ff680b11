// certs: keys and certificates in and out of the key store, and a PKI for edges and key server.
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "certs/commands.h"
#include "common/report.h"
#include "common/secmem.h"

#define SECRET_BYTES ((size_t)8 * 1024 * 1024) // the largest file with its decoded forms, and a batch of keys

static const struct command {
    const char *name;
    int (*run)(int argc, char *const *argv);
    const char *help;
} commands[] = {
    {"pki", cmd_pki, "make a CA, a key server certificate and edge certificates for mutual TLS"},
    {"master-key", cmd_master_key, "make a master key file"},
    {"import", cmd_import, "put private keys and their certificates into a key store"},
    {"list", cmd_list, "list the keys of a store"},
    {"show", cmd_show, "show one key's public part"},
    {"export", cmd_export, "write a private key to a file"},
    {"delete", cmd_delete, "delete keys"},
    {"recode", cmd_recode, "keep the keys of a store in another encoding"},
    {"rekey", cmd_rekey, "seal the keys of a store under a new master key"},
    {"verify", cmd_verify, "check every key of a store"},
};

static void print_help(FILE *out)
{
    (void)fputs("Usage: certs COMMAND [OPTION]...\n\nPuts private keys into the store of a key server, and "
                "manages them there.\n\n"
                "Commands:\n",
                out);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        (void)fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].help);
    (void)fputs("\n`certs COMMAND --help` lists the options of a command. Exit status: 0 done, 1 failed, 2 "
                "wrong usage.\n",
                out);
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

// Secret memory comes before any other use of OpenSSL.
static bool setup(void)
{
    struct error e = {""};
    bool locked = false;
    if (!secmem_setup(SECRET_BYTES, &locked, &e) || !process_harden(&e)) {
        report("%s", e.text);
        return false;
    }
    if (!locked)
        report("warning: secret memory is not locked and may be swapped out: raise the limit of locked "
               "memory (ulimit -l)");
    // A key server that goes away while we write to it, or a reader of our output, is an error and no death.
    (void)signal(SIGPIPE, SIG_IGN);
    return true;
}

int main(int argc, char **argv)
{
    report_set_program("certs");
    if (argc < 2) {
        report("no command: expected one of pki, master-key, import, list, show, export, delete, recode, "
               "rekey, verify (see certs --help)");
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("certs %s\n", MEC_VERSION);
        return EXIT_DONE;
    }
    const struct command *command = find(argv[1]);
    if (command == NULL) {
        report("unknown command \"%.40s\" (see certs --help)", argv[1]);
        return EXIT_USAGE;
    }
    return setup() ? command->run(argc - 1, argv + 1) : EXIT_FAILED;
}
