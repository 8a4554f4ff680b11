// The command line, and who wins: command line, file, preset. Our own reading of argv instead of
// getopt_long(): that one keeps its state in globals (a reload may run on any thread), accepts abbreviations
// (which break when an option is added) and words its own messages.
#include "config_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// What argv says, option by option, before values are looked at.
struct argv_state {
    struct config_reader *reader;
    int argc;
    char *const *argv;
    int next;
    struct config_list *positional;
    const char *file; // the value of --config
};

// A visitor of the options of argv; value is never NULL.
typedef bool (*take_option)(struct argv_state *state, size_t index, const char *value);

__attribute__((format(printf, 2, 3))) static bool fail(const struct config_reader *reader, const char *format,
                                                       ...)
{
    (void)fprintf(reader->errors, "%s: ", reader->spec->program);
    va_list args;
    va_start(args, format);
    (void)vfprintf(reader->errors, format, args);
    va_end(args);
    (void)fputc('\n', reader->errors);
    return false;
}

size_t config_find(const struct config_spec *spec, const char *name, size_t len)
{
    size_t i = 0;
    while (i < spec->option_count &&
           (strncmp(spec->options[i].name, name, len) != 0 || spec->options[i].name[len] != '\0'))
        i++;
    return i;
}

// One of --help and --version, which every table has.
static bool print_implicit(const struct config_spec *spec, const char *name)
{
    if (strcmp(name, "--help") == 0) {
        config_print_help(spec, stdout);
        return true;
    }
    if (strcmp(name, "--version") == 0) {
        (void)printf("%s %s\n", spec->program, MEC_VERSION);
        return true;
    }
    return false;
}

// The value of the option at argv[next]: after '=', or the next argument. NULL with a message when there is
// none.
static const char *option_value(struct argv_state *state, const struct config_option *option,
                                const char *equals)
{
    if (equals != NULL)
        return equals + 1;
    if (option->type == CONFIG_FLAG)
        return "yes";
    const char *value = state->next + 1 < state->argc ? state->argv[state->next + 1] : NULL;
    if (value == NULL) {
        (void)fail(state->reader, "--%s: expected a value: --%s %s", option->name, option->name,
                   option->arg != NULL ? option->arg : "VALUE");
        return NULL;
    }
    // A forgotten value would otherwise swallow the option that follows.
    if (strncmp(value, "--", 2) == 0) {
        char quoted[80];
        (void)fail(state->reader,
                   "--%s: expected a value, found the option %s (write --%s=VALUE if it is meant)",
                   option->name, config_quote(value, quoted, sizeof quoted), option->name);
        return NULL;
    }
    state->next++;
    return value;
}

static enum config_result visit_option(struct argv_state *state, const char *arg, take_option take)
{
    const struct config_spec *spec = state->reader->spec;
    char quoted[80];
    if (print_implicit(spec, arg))
        return CONFIG_EXIT;
    if (arg[1] == '-') {
        const char *name = arg + 2, *equals = strchr(name, '=');
        size_t index = config_find(spec, name, equals != NULL ? (size_t)(equals - name) : strlen(name));
        if (index < spec->option_count) {
            const char *value = option_value(state, &spec->options[index], equals);
            return value != NULL && take(state, index, value) ? CONFIG_OK : CONFIG_USAGE;
        }
        // Shown without its value, which may be something private.
        char shown[64];
        int len = equals != NULL && equals - arg < 60 ? (int)(equals - arg) : 60;
        (void)snprintf(shown, sizeof shown, "%.*s", len, arg);
        (void)config_quote(shown, quoted, sizeof quoted);
    } else {
        (void)config_quote(arg, quoted, sizeof quoted);
    }
    quoted[strlen(quoted) - 1] = '\0';
    (void)fail(state->reader, "%s: unknown option (try --help)", quoted + 1);
    return CONFIG_USAGE;
}

static enum config_result take_positional(struct argv_state *state, const char *arg)
{
    char quoted[120];
    if (!state->reader->spec->positional) {
        (void)fail(state->reader, "%s: unexpected argument (try --help)",
                   config_quote(arg, quoted, sizeof quoted));
        return CONFIG_USAGE;
    }
    if (state->positional != NULL && !config_list_add(state->positional, arg)) {
        (void)fail(state->reader, "out of memory");
        return CONFIG_USAGE;
    }
    return CONFIG_OK;
}

// Walks over argv: options go to `take`, other arguments to the positional list. "--" ends the options; "-"
// is an argument, as everywhere.
static enum config_result visit_argv(struct argv_state *state, take_option take)
{
    bool options_end = false;
    for (state->next = 1; state->next < state->argc; state->next++) {
        const char *arg = state->argv[state->next];
        enum config_result result = CONFIG_OK;
        if (!options_end && strcmp(arg, "--") == 0)
            options_end = true;
        else if (!options_end && arg[0] == '-' && arg[1] != '\0')
            result = visit_option(state, arg, take);
        else
            result = take_positional(state, arg);
        if (result != CONFIG_OK)
            return result;
    }
    return CONFIG_OK;
}

// First walk: the name of the file must be known before anything else.
static bool take_file_name(struct argv_state *state, size_t index, const char *value)
{
    if (state->reader->spec->options[index].type == CONFIG_FILE)
        state->file = value[0] != '\0' ? value : NULL;
    return true;
}

// Second walk, when the file has been read.
static bool take_value(struct argv_state *state, size_t index, const char *value)
{
    char why[256];
    if (config_set(state->reader, index, value, CONFIG_FROM_ARGV, why, sizeof why))
        return true;
    return fail(state->reader, "--%s: %s", state->reader->spec->options[index].name, why);
}

static bool apply_presets(struct config_reader *reader)
{
    char why[256];
    for (size_t i = 0; i < reader->spec->option_count; i++) {
        const struct config_option *option = &reader->spec->options[i];
        if (option->preset != NULL &&
            !config_set(reader, i, option->preset, CONFIG_FROM_PRESET, why, sizeof why))
            return fail(reader, "--%s: its default: %s", option->name, why);
    }
    return true;
}

static bool check_required(const struct config_reader *reader)
{
    bool complete = true;
    for (size_t i = 0; i < reader->spec->option_count; i++) {
        const struct config_option *option = &reader->spec->options[i];
        bool has_value =
            reader->sources[i] != CONFIG_FROM_NOWHERE && config_has_value(option, reader->target);
        if (option->required && !has_value)
            complete = fail(reader, "--%s: required: --%s %s", option->name, option->name,
                            option->arg != NULL ? option->arg : "VALUE");
    }
    return complete;
}

static enum config_result read_all(struct config_reader *reader, int argc, char *const *argv,
                                   struct config_list *positional)
{
    struct argv_state state = {.reader = reader, .argc = argc, .argv = argv, .positional = positional};
    enum config_result result = visit_argv(&state, take_file_name);
    if (result != CONFIG_OK)
        return result;
    state.positional = NULL;
    if (apply_presets(reader) && (state.file == NULL || config_read_file(reader, state.file)) &&
        visit_argv(&state, take_value) == CONFIG_OK && check_required(reader))
        return CONFIG_OK;
    return CONFIG_USAGE;
}

enum config_result config_read_to(const struct config_spec *spec, int argc, char *const *argv, void *target,
                                  struct config_list *positional, FILE *errors)
{
    enum config_source *sources = calloc(spec->option_count + 1, sizeof *sources);
    struct config_reader reader = {.spec = spec, .target = target, .errors = errors, .sources = sources};
    if (positional != NULL)
        *positional = (struct config_list){0};

    enum config_result result = CONFIG_USAGE;
    if (sources != NULL)
        result = read_all(&reader, argc, argv, positional);
    else
        (void)fail(&reader, "out of memory");
    free(sources);
    if (result != CONFIG_OK)
        config_release(spec, target, positional);
    return result;
}

enum config_result config_read(const struct config_spec *spec, int argc, char *const *argv, void *target,
                               struct config_list *positional)
{
    return config_read_to(spec, argc, argv, target, positional, stderr);
}

void config_release(const struct config_spec *spec, void *target, struct config_list *positional)
{
    for (size_t i = 0; i < spec->option_count; i++)
        config_clear(&spec->options[i], target);
    if (positional != NULL)
        config_list_clear(positional);
}
