// --help and the sample configuration, printed from the table of options.
#include "config_internal.h"

#include <string.h>

#define WIDTH  100
#define INDENT 28 // of the text beside the options in --help

// Prints words of text, breaking lines at WIDTH; every further line starts with `prefix`. `column` is where
// the cursor stands. Ends with a newline.
static void print_wrapped(FILE *out, const char *text, size_t column, const char *prefix)
{
    bool first = true;
    while (*text != '\0') {
        size_t len = strcspn(text, " \n");
        if (!first && column + 1 + len > WIDTH) {
            (void)fprintf(out, "\n%s", prefix);
            column = strlen(prefix);
            first = true;
        }
        if (len > 0) {
            (void)fprintf(out, "%s%.*s", first ? "" : " ", (int)len, text);
            column += len + (first ? 0 : 1);
            first = false;
        }
        text += len + strspn(text + len, " \n");
    }
    (void)fputc('\n', out);
}

// The help of an option and what else a user wants to know: choices, default, and that it is required.
static void describe(const struct config_option *option, char *buf, size_t len, bool with_default)
{
    size_t used = (size_t)snprintf(buf, len, "%s", option->help);
    if (option->type == CONFIG_ENUM && used < len)
        used += (size_t)snprintf(buf + used, len - used, " One of %s.", option->choices);
    if (option->type == CONFIG_LIST && used < len)
        used += (size_t)snprintf(buf + used, len - used, " May be given several times.");
    if (option->required && used < len)
        used += (size_t)snprintf(buf + used, len - used, " Required.");
    if (with_default && option->preset != NULL && used < len)
        (void)snprintf(buf + used, len - used, " Default: %s.", option->preset);
}

static void print_option(FILE *out, const char *name, const char *arg, const char *help)
{
    static const char indent[INDENT + 1] = "                            ";
    char left[120];
    (void)snprintf(left, sizeof left, "  --%s%s%s", name, arg != NULL ? " " : "", arg != NULL ? arg : "");
    size_t column = strlen(left);
    (void)fputs(left, out);
    if (column + 2 > INDENT) {
        (void)fputc('\n', out);
        column = 0;
    }
    (void)fprintf(out, "%*s", (int)(INDENT - column), "");
    print_wrapped(out, help, INDENT, indent);
}

static const char *arg_of(const struct config_option *option)
{
    if (option->type == CONFIG_FLAG)
        return NULL;
    return option->arg != NULL ? option->arg : "VALUE";
}

void config_print_help(const struct config_spec *spec, FILE *out)
{
    char text[2048];
    (void)fprintf(out, "Usage: %s %s\n\n", spec->program, spec->usage);
    print_wrapped(out, spec->summary, 0, "");
    (void)fputs("\nOptions:\n", out);
    bool has_file = false;
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct config_option *option = &spec->options[i];
        describe(option, text, sizeof text, true);
        print_option(out, option->name, arg_of(option), text);
        has_file = has_file || option->type == CONFIG_FILE;
    }
    print_option(out, "help", NULL, "Print this help and exit.");
    print_option(out, "version", NULL, "Print the version and exit.");
    (void)fputc('\n', out);
    print_wrapped(
        out,
        "Sizes are written 64kb, 512mb, 4gb; durations 200ms, 10s, 5m. --name=VALUE and --name VALUE "
        "mean the same. Exit status: 0 done, 1 failed, 2 wrong usage.",
        0, "");
    if (has_file)
        print_wrapped(
            out,
            "Every option may stand in the configuration file as \"name = value\", flags as \"name = "
            "yes\". The command line overrides the file.",
            0, "");
}

static const char *example_value(const struct config_option *option)
{
    if (option->preset != NULL)
        return option->preset;
    if (option->type == CONFIG_FLAG)
        return "no";
    return option->arg != NULL ? option->arg : "";
}

void config_print_sample(const struct config_spec *spec, FILE *out)
{
    char text[2048];
    (void)fprintf(
        out,
        "# Configuration of %s: \"name = value\" lines. Remove the # in front of a line to change it; what "
        "is\n"
        "# there without one is the default, or shows the form. The command line overrides this file.\n"
        "# A comment has a line of its own.\n[%s]\n",
        spec->program, spec->program);
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct config_option *option = &spec->options[i];
        if (option->type == CONFIG_FILE || option->action)
            continue;
        describe(option, text, sizeof text, false);
        (void)fputs("\n# ", out);
        print_wrapped(out, text, 2, "# ");
        (void)fprintf(out, "#%s = %s\n", option->name, example_value(option));
    }
}
