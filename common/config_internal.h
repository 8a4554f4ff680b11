// What the parts of the options module share: config.c (command line and precedence), config_file.c (INI),
// config_value.c (text to field and back), config_print.c (help and sample).
#ifndef MEC_COMMON_CONFIG_INTERNAL_H
#define MEC_COMMON_CONFIG_INTERNAL_H

#include "common/config.h"

// Where a field's present value came from. A later source overrides an earlier one.
enum config_source { CONFIG_FROM_NOWHERE, CONFIG_FROM_PRESET, CONFIG_FROM_FILE, CONFIG_FROM_ARGV };

struct config_reader {
    const struct config_spec *spec;
    void *target;
    FILE *errors;
    enum config_source *sources; // one per option
};

// Text that a user gave, ready for a message: quoted, cut, with '?' for all but printable ASCII. Returns buf.
char *config_quote(const char *text, char *buf, size_t len);

// The index of the option called by the first len bytes of name, or spec->option_count.
size_t config_find(const struct config_spec *spec, const char *name, size_t len);

// Parses text into the option's field, replacing what a weaker source put there (a list grows when the source
// is the same). False with the reason in `why` when the text is no value of the option's type.
bool config_set(struct config_reader *reader, size_t index, const char *text, enum config_source source,
                char *why, size_t why_len);

// Frees and zeroes the option's field.
void config_clear(const struct config_option *option, void *target);

// The field holds something: strings and lists can be given and still be empty.
bool config_has_value(const struct config_option *option, const void *target);

// Reads the INI file into the target; messages name the file and the line.
bool config_read_file(struct config_reader *reader, const char *path);

bool config_list_add(struct config_list *list, const char *text);
void config_list_clear(struct config_list *list);

#endif
