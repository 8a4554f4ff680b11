#include "scaleup/limits_parse.h"

#include <string.h>

// Version 1 says 2^63 rounded down to a page, whose size differs.
#define LEAST_NONE (1ULL << 62)

struct slice {
    const char *at;
    size_t len;
};

// Takes what comes before the next separator off *rest. False: nothing is left.
static bool next(struct slice *rest, char separator, struct slice *part)
{
    if (rest->len == 0)
        return false;
    const char *end = memchr(rest->at, separator, rest->len);
    part->at = rest->at;
    part->len = end == NULL ? rest->len : (size_t)(end - rest->at);
    size_t taken = part->len + (end != NULL);
    rest->at += taken;
    rest->len -= taken;
    return true;
}

static bool is(struct slice s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static bool has_item(struct slice list, const char *item)
{
    struct slice part;
    while (next(&list, ',', &part))
        if (is(part, item))
            return true;
    return false;
}

// Takes digits off *s. False: there are none, or they do not fit.
static bool take_digits(struct slice *s, uint64_t *value)
{
    uint64_t v = 0;
    size_t at = 0;
    for (; at < s->len && s->at[at] >= '0' && s->at[at] <= '9'; at++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(s->at[at] - '0'), &v))
            return false;
    if (at == 0)
        return false;
    s->at += at;
    s->len -= at;
    *value = v;
    return true;
}

static void skip_blanks(struct slice *s)
{
    while (s->len > 0 && (*s->at == ' ' || *s->at == '\t')) {
        s->at++;
        s->len--;
    }
}

bool limits_parse_number(const char *text, size_t len, uint64_t *value)
{
    struct slice rest = {text, len}, line = {text, 0};
    uint64_t number = LIMITS_NONE;
    if (!next(&rest, '\n', &line) || rest.len != 0)
        return false;
    if (!is(line, "max") && (!take_digits(&line, &number) || line.len != 0))
        return false;
    *value = number >= LEAST_NONE ? LIMITS_NONE : number;
    return true;
}

static bool field_value(struct slice line, uint64_t *value)
{
    uint64_t number;
    skip_blanks(&line);
    if (!take_digits(&line, &number))
        return false;
    skip_blanks(&line);
    if (is(line, "kB") && __builtin_mul_overflow(number, 1024, &number))
        return false;
    if (line.len != 0 && !is(line, "kB"))
        return false;
    *value = number;
    return true;
}

bool limits_parse_field(const char *text, size_t len, const char *key, uint64_t *value)
{
    struct slice rest = {text, len}, line;
    size_t key_len = strlen(key);
    while (next(&rest, '\n', &line)) {
        if (line.len <= key_len || memcmp(line.at, key, key_len) != 0)
            continue;
        line.at += key_len;
        line.len -= key_len;
        if (*line.at == ' ' || *line.at == '\t')
            return field_value(line, value);
    }
    return false;
}

bool limits_parse_group(const char *text, size_t len, bool version2, char *path, size_t size)
{
    struct slice rest = {text, len}, line, number, controllers;
    while (next(&rest, '\n', &line)) {
        if (!next(&line, ':', &number) || !next(&line, ':', &controllers))
            continue;
        bool wanted = version2 ? is(number, "0") && controllers.len == 0 : has_item(controllers, "memory");
        if (!wanted || line.len == 0 || *line.at != '/' || memchr(line.at, '\0', line.len) != NULL)
            continue;
        if (line.len >= size)
            return false;
        memcpy(path, line.at, line.len);
        path[line.len] = '\0';
        return true;
    }
    return false;
}

static bool octal(const char *at, unsigned *value)
{
    *value = 0;
    for (int i = 0; i < 3; i++) {
        if (at[i] < '0' || at[i] > '7')
            return false;
        *value = *value * 8 + (unsigned)(at[i] - '0');
    }
    return *value > 0 && *value <= 255;
}

// mountinfo writes blanks, newlines and backslashes as \ooo.
static bool unescape(struct slice from, char *to, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < from.len; i++) {
        unsigned value = (unsigned char)from.at[i];
        if (value == '\\' && from.len - i > 3 && octal(from.at + i + 1, &value))
            i += 3;
        if (value == 0 || used + 1 >= size)
            return false;
        to[used++] = (char)value;
    }
    to[used] = '\0';
    return used > 0 && to[0] == '/';
}

// 36 35 98:0 ROOT POINT options [optional ...] - TYPE SOURCE SUPER
static bool mount_line(struct slice line, bool version2, struct limits_mount *mount)
{
    struct slice root = {0}, point = {0}, word, type, source, super;
    for (int i = 0; i < 5; i++) {
        if (!next(&line, ' ', &word))
            return false;
        root = i == 3 ? word : root;
        point = i == 4 ? word : point;
    }
    do {
        if (!next(&line, ' ', &word))
            return false;
    } while (!is(word, "-"));
    if (!next(&line, ' ', &type) || !next(&line, ' ', &source) || !next(&line, ' ', &super))
        return false;
    if (!is(type, version2 ? "cgroup2" : "cgroup") || (!version2 && !has_item(super, "memory")))
        return false;
    return unescape(root, mount->root, sizeof mount->root) &&
           unescape(point, mount->point, sizeof mount->point);
}

static bool has_dots(const char *path)
{
    for (const char *at = strstr(path, "/.."); at != NULL; at = strstr(at + 1, "/.."))
        if (at[3] == '/' || at[3] == '\0')
            return true;
    return false;
}

// What of path is below the mount's root; NULL: it is not.
static const char *below(const struct limits_mount *mount, const char *path)
{
    size_t len = strlen(mount->root);
    while (len > 0 && mount->root[len - 1] == '/')
        len--;
    if (strncmp(path, mount->root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
        return NULL;
    const char *rest = path + len;
    if (has_dots(rest))
        return NULL;
    return strcmp(rest, "/") == 0 ? rest + 1 : rest;
}

bool limits_parse_mount(const char *text, size_t len, bool version2, const char *path,
                        struct limits_mount *mount)
{
    struct slice rest = {text, len}, line;
    struct limits_mount at;
    bool found = false;
    while (next(&rest, '\n', &line)) {
        if (!mount_line(line, version2, &at))
            continue;
        bool shows = below(&at, path) != NULL;
        if (!found || shows)
            *mount = at;
        found = true;
        if (shows)
            break;
    }
    return found;
}

const char *limits_group_below(const struct limits_mount *mount, const char *path)
{
    const char *rest = below(mount, path);
    return rest == NULL ? path + strlen(path) : rest;
}
