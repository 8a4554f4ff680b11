// A value for a parameter, from what a client sent to the one form that CONFIG GET shows.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/config.h"

// Error texts that name bounds or choices; each thread has its own.
static _Thread_local char why_text[512];

static bool is_inside(const struct resp_parameter *p, int64_t value, const char **why)
{
    if (value >= p->min && value <= p->max)
        return true;
    (void)snprintf(why_text, sizeof why_text,
                   "argument must be between %" PRId64 " and %" PRId64 " inclusive", p->min, p->max);
    *why = why_text;
    return false;
}

static bool parse_bool(const struct resp_arg *value, char *text, const char **why)
{
    bool yes = resp_arg_is(value, "yes");
    if (!yes && !resp_arg_is(value, "no")) {
        *why = "argument must be 'yes' or 'no'";
        return false;
    }
    (void)snprintf(text, RESP_CONFIG_TEXT, "%s", yes ? "yes" : "no");
    return true;
}

static bool parse_choice(const struct resp_parameter *p, const struct resp_arg *value, char *text,
                         const char **why)
{
    size_t used = (size_t)snprintf(why_text, sizeof why_text, "argument(s) must be one of the following: ");
    for (const char *at = p->choices; *at != '\0';) {
        size_t len = strcspn(at, "|");
        (void)snprintf(text, RESP_CONFIG_TEXT, "%.*s", (int)len, at);
        if (resp_arg_is(value, text))
            return true;
        used += (size_t)snprintf(why_text + used, sizeof why_text - used, "%s%s", text,
                                 at[len] != '\0' ? ", " : "");
        at += len + (at[len] != '\0');
    }
    *why = why_text;
    return false;
}

static bool parse_integer(const struct resp_parameter *p, const struct resp_arg *value, char *text,
                          const char **why)
{
    int64_t number;
    if (!resp_arg_int64(value, &number)) {
        *why = "argument couldn't be parsed into an integer";
        return false;
    }
    (void)snprintf(text, RESP_CONFIG_TEXT, "%" PRId64, number);
    return is_inside(p, number, why);
}

static bool parse_memory(const struct resp_parameter *p, const struct resp_arg *value, char *text,
                         const char **why)
{
    uint64_t bytes;
    if (!resp_arg_memory(value, &bytes) || bytes > INT64_MAX) {
        *why = "argument must be a memory value";
        return false;
    }
    (void)snprintf(text, RESP_CONFIG_TEXT, "%" PRIu64, bytes);
    return is_inside(p, (int64_t)bytes, why);
}

static bool parse_string(const struct resp_arg *value, char *text, const char **why)
{
    if (value->len >= RESP_CONFIG_TEXT || (value->len != 0 && memchr(value->data, 0, value->len) != NULL)) {
        *why = "argument is too long, or holds a NUL byte";
        return false;
    }
    if (value->len != 0)
        memcpy(text, value->data, value->len);
    text[value->len] = '\0';
    return true;
}

bool resp_config_parse(const struct resp_parameter *p, const struct resp_arg *value,
                       char text[static RESP_CONFIG_TEXT], const char **why)
{
    bool good = false;
    switch (p->kind) {
    case RESP_CONFIG_BOOL:
        good = parse_bool(value, text, why);
        break;
    case RESP_CONFIG_ENUM:
        good = parse_choice(p, value, text, why);
        break;
    case RESP_CONFIG_INTEGER:
        good = parse_integer(p, value, text, why);
        break;
    case RESP_CONFIG_MEMORY:
        good = parse_memory(p, value, text, why);
        break;
    case RESP_CONFIG_STRING:
        good = parse_string(value, text, why);
        break;
    }
    if (good && p->only != NULL && strcmp(text, p->only) != 0) {
        *why = p->why;
        good = false;
    }
    return good;
}
