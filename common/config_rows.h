// Short forms for tables of options (config.h), where a row is a line. Included by files with such a table only, which define AT(field): the offset of a field.
#ifndef MEC_COMMON_CONFIG_ROWS_H
#define MEC_COMMON_CONFIG_ROWS_H

#include "common/config.h"

#define TEXT(option, field, arg_, preset_, help_)                                                            \
    {                                                                                                        \
        .name = option, .type = CONFIG_STRING, .offset = AT(field), .arg = arg_, .preset = preset_,          \
        .help = help_                                                                                        \
    }
#define FLAG(option, field, help_)                                                                           \
    {                                                                                                        \
        .name = option, .type = CONFIG_FLAG, .offset = AT(field), .help = help_                              \
    }
#define NUMBER(option, field, type_, arg_, preset_, min_, max_, help_)                                       \
    {                                                                                                        \
        .name = option, .type = type_, .offset = AT(field), .arg = arg_, .preset = preset_, .min = min_,     \
        .max = max_, .help = help_                                                                           \
    }
#define CHOICE(option, field, preset_, choices_, help_)                                                      \
    {                                                                                                        \
        .name = option, .type = CONFIG_ENUM, .offset = AT(field), .preset = preset_, .choices = choices_,    \
        .help = help_                                                                                        \
    }

#endif
