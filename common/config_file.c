// The INI file: libinih splits lines, we decide what they may say. It is lenient (it cuts long lines, takes
// any section), and a setting that silently does nothing is a trap for an operator, so everything unexpected
// is an error.
#include "config_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <ini.h>

#define MAX_LINE 8192

struct ini_state {
    struct config_reader *reader;
    const char *path;
    FILE *file;
    unsigned line;
    bool failed; // a message was printed
};

static pthread_once_t ini_once = PTHREAD_ONCE_INIT;

// Debian builds libinih so that these can be chosen at run time.
static void set_up_ini(void)
{
    ini_use_stack = false;
    ini_allow_realloc = false;
    ini_max_line = MAX_LINE;
    ini_initial_alloc = MAX_LINE;
    ini_allow_multiline = false;
    ini_allow_inline_comments = false; // a path may hold a semicolon
    ini_stop_on_first_error = true;
}

__attribute__((format(printf, 2, 3))) static bool fail(struct ini_state *state, const char *format, ...)
{
    if (state->failed)
        return false;
    state->failed = true;
    (void)fprintf(state->reader->errors, "%s: %s:", state->reader->spec->program, state->path);
    if (state->line > 0)
        (void)fprintf(state->reader->errors, "%u:", state->line);
    (void)fputc(' ', state->reader->errors);
    va_list args;
    va_start(args, format);
    (void)vfprintf(state->reader->errors, format, args);
    va_end(args);
    (void)fputc('\n', state->reader->errors);
    return false;
}

// One line for libinih, or NULL at the end and at the first line that it must not see.
static char *read_line(char *buf, int size, void *stream)
{
    struct ini_state *state = stream;
    int used = 0, c = EOF;
    if (state->failed)
        return NULL;
    state->line++;
    while ((c = getc(state->file)) != EOF) {
        if (c == '\0') {
            (void)fail(state, "found a NUL byte, expected text");
            return NULL;
        }
        if (used + 2 > size) {
            (void)fail(state, "the line is longer than %d characters", size - 2);
            return NULL;
        }
        buf[used++] = (char)c;
        if (c == '\n')
            break;
    }
    if (ferror(state->file)) {
        (void)fail(state, "read: %s", strerror(errno));
        return NULL;
    }
    buf[used] = '\0';
    return used > 0 ? buf : NULL;
}

// libinih calls this for each `name = value`, before it reads the next line. 0 stops it.
static int take_setting(void *user, const char *section, const char *name, const char *value)
{
    struct ini_state *state = user;
    struct config_reader *reader = state->reader;
    char quoted[80], why[256];

    if (section[0] != '\0' && strcmp(section, reader->spec->program) != 0)
        return fail(state, "section %s: expected no section or [%s]",
                    config_quote(section, quoted, sizeof quoted), reader->spec->program);
    size_t index = config_find(reader->spec, name, strlen(name));
    if (index == reader->spec->option_count)
        return fail(state, "%s: unknown option (see %s --help)", config_quote(name, quoted, sizeof quoted),
                    reader->spec->program);

    const struct config_option *option = &reader->spec->options[index];
    if (option->type == CONFIG_FILE)
        return fail(state, "%s: not allowed inside the file", option->name);
    if (reader->sources[index] == CONFIG_FROM_FILE && option->type != CONFIG_LIST)
        return fail(state, "%s: given twice", option->name);
    if (!config_set(reader, index, value, CONFIG_FROM_FILE, why, sizeof why))
        return fail(state, "%s: %s", option->name, why);
    return 1;
}

bool config_read_file(struct config_reader *reader, const char *path)
{
    (void)pthread_once(&ini_once, set_up_ini);
    struct ini_state state = {.reader = reader, .path = path};
    state.file = fopen(path, "re");
    if (state.file == NULL)
        return fail(&state, "open: %s", strerror(errno));

    int rc = ini_parse_stream(read_line, &state, take_setting, &state);
    (void)fclose(state.file);
    if (rc < 0)
        return fail(&state, "out of memory");
    if (rc > 0)
        (void)fail(&state, "expected \"name = value\", a [section] or a comment");
    return !state.failed;
}
