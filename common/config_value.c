// The types of options: text to field, with what was expected when the text does not fit.
#include "config_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/units.h"

static void *field_of(const struct config_option *option, void *target)
{
    return (char *)target + option->offset;
}

static const void *const_field_of(const struct config_option *option, const void *target)
{
    return (const char *)target + option->offset;
}

char *config_quote(const char *text, char *buf, size_t len)
{
    size_t used = 0, room = len - 6; // two quotes, three dots, NUL
    buf[used++] = '"';
    const char *p = text;
    for (; *p != '\0' && used < room; p++)
        buf[used++] = (char)(*p >= 0x20 && *p < 0x7f ? *p : '?');
    if (*p != '\0') {
        memcpy(buf + used, "...", 3);
        used += 3;
    }
    buf[used++] = '"';
    buf[used] = '\0';
    return buf;
}

bool config_list_add(struct config_list *list, const char *text)
{
    char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (items == NULL)
        return false;
    list->items = items;
    items[list->count] = strdup(text);
    if (items[list->count] == NULL)
        return false;
    list->count++;
    return true;
}

void config_list_clear(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct config_list){0};
}

void config_clear(const struct config_option *option, void *target)
{
    void *field = field_of(option, target);
    switch (option->type) {
    case CONFIG_FLAG:
        *(bool *)field = false;
        break;
    case CONFIG_STRING:
    case CONFIG_FILE:
        free(*(char **)field);
        *(char **)field = NULL;
        break;
    case CONFIG_UINT:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        *(uint64_t *)field = 0;
        break;
    case CONFIG_ENUM:
        *(unsigned *)field = 0;
        break;
    case CONFIG_LIST:
        config_list_clear(field);
        break;
    }
}

bool config_has_value(const struct config_option *option, const void *target)
{
    const void *field = const_field_of(option, target);
    switch (option->type) {
    case CONFIG_STRING:
    case CONFIG_FILE:
        return *(char *const *)field != NULL;
    case CONFIG_LIST:
        return ((const struct config_list *)field)->count > 0;
    default: // whatever was given is a value
        return true;
    }
}

static bool parse_flag(const char *text, bool *value)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *value = i % 2 == 1;
            return true;
        }
    return false;
}

static bool parse_choice(const char *choices, const char *text, unsigned *index)
{
    size_t len = strlen(text);
    unsigned i = 0;
    for (const char *word = choices; word != NULL; i++) {
        const char *end = strchr(word, '|');
        size_t word_len = end != NULL ? (size_t)(end - word) : strlen(word);
        if (word_len == len && strncasecmp(word, text, len) == 0) {
            *index = i;
            return true;
        }
        word = end != NULL ? end + 1 : NULL;
    }
    return false;
}

// A bound in the form that a user would write it. Only bounds that the short form gives exactly are
// shortened.
static const char *format_bound(enum config_type type, uint64_t value, char *buf, size_t len)
{
    uint64_t back = 0;
    if (type == CONFIG_SIZE && units_parse_size(units_format_size(value, buf, len), &back) && back == value)
        return buf;
    if (type == CONFIG_DURATION && units_parse_duration(units_format_duration(value, buf, len), &back) &&
        back == value)
        return buf;
    const char *suffix = type == CONFIG_SIZE ? "b" : type == CONFIG_DURATION ? "us" : "";
    (void)snprintf(buf, len, "%" PRIu64 "%s", value, suffix);
    return buf;
}

static bool parse_number(const struct config_option *option, const char *text, uint64_t *value, char *why,
                         size_t why_len)
{
    char quoted[80], low[32], high[32];
    bool parsed = false;
    const char *form = NULL;
    switch (option->type) {
    case CONFIG_SIZE:
        parsed = units_parse_size(text, value);
        form = "a size such as 64kb, 512mb or 4gb";
        break;
    case CONFIG_DURATION:
        parsed = units_parse_duration(text, value);
        form = "a duration such as 200ms, 10s or 5m";
        break;
    default:
        parsed = units_parse_uint(text, value);
        form = "a whole number";
        break;
    }
    if (!parsed) {
        (void)snprintf(why, why_len, "found %s, expected %s", config_quote(text, quoted, sizeof quoted),
                       form);
        return false;
    }
    if (*value >= option->min && (option->max == 0 || *value <= option->max))
        return true;
    (void)config_quote(text, quoted, sizeof quoted);
    (void)format_bound(option->type, option->min, low, sizeof low);
    if (option->max == 0)
        (void)snprintf(why, why_len, "found %s, expected at least %s", quoted, low);
    else
        (void)snprintf(why, why_len, "found %s, expected %s to %s", quoted, low,
                       format_bound(option->type, option->max, high, sizeof high));
    return false;
}

static bool set_string(char **field, const char *text, char *why, size_t why_len)
{
    char *copy = NULL;
    if (text[0] != '\0') {
        copy = strdup(text);
        if (copy == NULL) {
            (void)snprintf(why, why_len, "out of memory");
            return false;
        }
    }
    free(*field);
    *field = copy;
    return true;
}

static bool add_to_list(struct config_list *list, const char *text, bool replace, char *why, size_t why_len)
{
    if (replace)
        config_list_clear(list);
    if (text[0] == '\0' || config_list_add(list, text))
        return true;
    (void)snprintf(why, why_len, "out of memory");
    return false;
}

static bool set_field(const struct config_option *option, void *field, const char *text, bool replace,
                      char *why, size_t why_len)
{
    char quoted[80];
    uint64_t number = 0;
    switch (option->type) {
    case CONFIG_FLAG:
        if (parse_flag(text, field))
            return true;
        (void)snprintf(why, why_len, "found %s, expected yes or no",
                       config_quote(text, quoted, sizeof quoted));
        return false;
    case CONFIG_ENUM:
        if (parse_choice(option->choices, text, field))
            return true;
        (void)snprintf(why, why_len, "found %s, expected one of %s",
                       config_quote(text, quoted, sizeof quoted), option->choices);
        return false;
    case CONFIG_UINT:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        if (!parse_number(option, text, &number, why, why_len))
            return false;
        *(uint64_t *)field = number;
        return true;
    case CONFIG_LIST:
        return add_to_list(field, text, replace, why, why_len);
    case CONFIG_STRING:
    case CONFIG_FILE:
        return set_string(field, text, why, why_len);
    }
    return false;
}

bool config_set(struct config_reader *reader, size_t index, const char *text, enum config_source source,
                char *why, size_t why_len)
{
    const struct config_option *option = &reader->spec->options[index];
    bool replace = reader->sources[index] != source;
    if (!set_field(option, field_of(option, reader->target), text, replace, why, why_len))
        return false;
    reader->sources[index] = source;
    return true;
}
