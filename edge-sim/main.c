// edge-sim: the edge side of the key server: an HTTPS edge without private keys, and load for the key server and the store.
#include <stdio.h>
#include <string.h>

#include "common/report.h"
#include "edge-sim/serve.h"

static const struct command {
    const char *words[2]; // the second may be NULL
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {{"serve", NULL}, serve_main, "HTTPS edge: certificates here, private keys at the key server"},
    {{"load", "ski"}, load_main, "load for a key server, with checked answers and latencies"},
    {{"load", "lookup"},
     load_lookup_main,
     "GETs for a kvstore, at a rate that may change, with latencies over time"},
};

static void print_help(void)
{
    printf("Usage: edge-sim COMMAND [OPTION]...\n"
           "The edge side of the MEC key server.\n\nCommands:\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        printf("  %-6s %-6s  %s\n", commands[i].words[0],
               commands[i].words[1] != NULL ? commands[i].words[1] : "", commands[i].help);
    printf("\n  --help     this text; edge-sim COMMAND --help for a command's options\n"
           "  --version  name and version\n");
}

int main(int argc, char **argv)
{
    report_set_program("edge-sim");
    if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
        print_help();
        return EXIT_DONE;
    }
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        printf("edge-sim %s\n", MEC_VERSION);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const struct command *c = &commands[i];
        int words = c->words[1] != NULL ? 2 : 1;
        if (argc > words && strcmp(argv[1], c->words[0]) == 0 &&
            (words == 1 || strcmp(argv[2], c->words[1]) == 0))
            return c->run(argc - words, argv + words);
    }
    for (size_t i = 0; argc == 3 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].words[0]) == 0 && strcmp(argv[2], "--help") == 0) {
            print_help();
            return EXIT_DONE;
        }
    report(argc < 2 ? "no command given; see edge-sim --help"
                    : "unknown command \"%s%s%s\"; see edge-sim --help",
           argc < 2 ? "" : argv[1], argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
    return EXIT_USAGE;
}
