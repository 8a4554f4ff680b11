#include "scaleup/scaleupd_vnfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"

static const struct backend_class *const backends[] = {&backend_cgroup, &backend_qmp, &backend_simulated};

const struct backend_class *vnf_backend(const char *name)
{
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strcmp(backends[i]->name, name) == 0)
            return backends[i];
    return NULL;
}

// ---- the keys of a line

// True: the value is fine. Else *expected says what would be.
typedef bool (*take_value)(struct vnf_line *line, const char *value, const char **expected, struct error *e);

static bool take_backend(struct vnf_line *line, const char *value, const char **expected, struct error *e)
{
    (void)e;
    *expected = "cgroup, qmp or simulated";
    line->backend = vnf_backend(value);
    return line->backend != NULL;
}

static bool take_size(uint64_t *to, const char *value, const char **expected)
{
    *expected = "a size (512mb, 4gb)";
    return units_parse_size(value, to) && *to <= MESSAGE_NUMBER_MAX;
}

static bool take_min(struct vnf_line *line, const char *value, const char **expected, struct error *e)
{
    (void)e;
    return take_size(&line->vnf.min_bytes, value, expected);
}

static bool take_max(struct vnf_line *line, const char *value, const char **expected, struct error *e)
{
    (void)e;
    return take_size(&line->vnf.max_bytes, value, expected);
}

static bool take_priority(struct vnf_line *line, const char *value, const char **expected, struct error *e)
{
    uint64_t number;
    (void)e;
    *expected = "0 (least) to 9";
    if (!units_parse_uint(value, &number) || number > 9)
        return false;
    line->vnf.priority = (unsigned)number;
    return true;
}

static bool take_allow(struct vnf_line *line, const char *value, const char **expected, struct error *e)
{
    *expected = NULL;
    return access_add(&line->allow, value, e);
}

static bool take_overdue(struct vnf_line *line, const char *value, const char **expected, struct error *e)
{
    (void)e;
    *expected = "leave or force";
    line->vnf.force_overdue = strcmp(value, "force") == 0;
    return line->vnf.force_overdue || strcmp(value, "leave") == 0;
}

static const struct {
    const char *key;
    take_value take;
} keys[] = {{"backend", take_backend},   {"min", take_min},     {"max", take_max},
            {"priority", take_priority}, {"allow", take_allow}, {"on-overdue", take_overdue}};
enum { KEYS = sizeof keys / sizeof *keys };

static size_t find_key(const char *word, size_t len)
{
    for (size_t i = 0; i < KEYS; i++)
        if (strlen(keys[i].key) == len && strncmp(keys[i].key, word, len) == 0)
            return i;
    return KEYS;
}

// ---- a line

// A word that is no key of ours is one of the back-end's.
static bool keep_for_backend(struct vnf_line *line, const char *word)
{
    size_t before = line->settings != NULL ? strlen(line->settings) : 0, len = strlen(word);
    char *longer = realloc(line->settings, before + len + 2);
    if (longer == NULL)
        return false;
    (void)snprintf(longer + before, len + 2, "%s%s", before > 0 ? " " : "", word);
    line->settings = longer;
    return true;
}

static bool take_word(struct vnf_line *line, const char *word, unsigned *seen, struct error *e)
{
    const char *value = strchr(word, '='), *expected = NULL;
    if (value == NULL || value == word) {
        error_set(e, "%s: found \"%.64s\", expected KEY=VALUE", line->vnf.name, word);
        return false;
    }
    size_t key = find_key(word, (size_t)(value++ - word));
    if (key == KEYS) {
        if (!keep_for_backend(line, word))
            error_set(e, "%s: out of memory", line->vnf.name);
        return line->settings != NULL;
    }
    if ((*seen & 1u << key) != 0) {
        error_set(e, "%s: %s comes twice", line->vnf.name, keys[key].key);
        return false;
    }
    *seen |= 1u << key;
    struct error why = {0};
    if (keys[key].take(line, value, &expected, &why))
        return true;
    if (expected != NULL)
        error_set(e, "%s: %s: found \"%.64s\", expected %s", line->vnf.name, keys[key].key, value, expected);
    else
        error_set(e, "%s: %s: %.400s", line->vnf.name, keys[key].key, why.text);
    return false;
}

static bool set_name(struct vnf_line *line, const char *name, struct error *e)
{
    if (!message_name_is_good(name)) {
        error_set(e, "found the name \"%.64s\", expected 1 to %d characters of A-Z a-z 0-9 . _ -", name,
                  MESSAGE_NAME_MAX);
        return false;
    }
    (void)snprintf(line->vnf.name, sizeof line->vnf.name, "%s", name);
    return true;
}

static bool finish(struct vnf_line *line, struct error *e)
{
    if (line->vnf.max_bytes != 0 && line->vnf.max_bytes < line->vnf.min_bytes) {
        error_set(e, "%s: the maximum is below the minimum", line->vnf.name);
        return false;
    }
    (void)snprintf(line->vnf.backend, sizeof line->vnf.backend, "%s", line->backend->name);
    if (line->settings == NULL && (line->settings = strdup("")) == NULL) {
        error_set(e, "%s: out of memory", line->vnf.name);
        return false;
    }
    if (!backend_target(line->backend, line->settings, line->vnf.target, sizeof line->vnf.target)) {
        error_set(e, "%s: the back-end's settings are too long", line->vnf.name);
        return false;
    }
    return true;
}

bool vnf_line_parse(const char *text, const struct backend_class *preset, struct vnf_line *line,
                    struct error *e)
{
    char *copy = strdup(text), *rest = NULL;
    unsigned seen = 0;
    *line = (struct vnf_line){.backend = preset, .vnf = {.priority = VNFS_PRIORITY}};
    if (copy == NULL) {
        error_set(e, "out of memory");
        return false;
    }
    const char *word = strtok_r(copy, " \t", &rest);
    bool good = set_name(line, word != NULL ? word : "", e);
    while (good && (word = strtok_r(NULL, " \t", &rest)) != NULL)
        good = take_word(line, word, &seen, e);
    free(copy);
    if (good && finish(line, e))
        return true;
    vnf_line_release(line);
    return false;
}

bool vnf_line_implicit(const char *name, const struct backend_class *backend, const char *cgroup_root,
                       struct vnf_line *line, struct error *e)
{
    *line = (struct vnf_line){.backend = backend, .vnf = {.priority = VNFS_PRIORITY}};
    if (!set_name(line, name, e))
        return false;
    if (backend == &backend_qmp || (backend == &backend_cgroup && cgroup_root == NULL)) {
        error_set(e, "%s: back-end %s needs %s", name, backend->name,
                  backend == &backend_qmp ? "a --vnf line for each machine"
                                          : "--cgroup-root or a --vnf line");
        return false;
    }
    if (name[0] == '.') {
        error_set(e, "%s: a name that begins with a dot needs a --vnf line", name);
        return false;
    }
    if (backend == &backend_cgroup && asprintf(&line->settings, "path=%s/%s", cgroup_root, name) < 0)
        line->settings = NULL; // which finish() takes for no settings, and the back-end refuses
    return finish(line, e);
}

void vnf_line_release(struct vnf_line *line)
{
    free(line->settings);
    access_release(&line->allow);
    *line = (struct vnf_line){0};
}

// ---- all lines

struct vnf_line *vnf_lines_find(const struct vnf_lines *lines, const char *name)
{
    for (size_t i = 0; i < lines->count; i++)
        if (strcmp(lines->items[i].vnf.name, name) == 0)
            return &lines->items[i];
    return NULL;
}

bool vnf_lines_parse(const struct config_list *list, const struct backend_class *preset,
                     struct vnf_lines *lines, struct error *e)
{
    *lines = (struct vnf_lines){0};
    if (list->count > VNFS_MAX) {
        error_set(e, "found %zu VNFs, expected at most %d", list->count, VNFS_MAX);
        return false;
    }
    lines->items = calloc(list->count + 1, sizeof *lines->items);
    if (lines->items == NULL) {
        error_set(e, "out of memory");
        return false;
    }
    for (size_t i = 0; i < list->count; i++) {
        struct vnf_line line;
        bool good = vnf_line_parse(list->items[i], preset, &line, e);
        if (good && vnf_lines_find(lines, line.vnf.name) != NULL) {
            error_set(e, "%s: the name comes twice", line.vnf.name);
            vnf_line_release(&line);
            good = false;
        }
        if (!good) {
            vnf_lines_release(lines);
            return false;
        }
        lines->items[lines->count++] = line;
    }
    return true;
}

void vnf_lines_release(struct vnf_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        vnf_line_release(&lines->items[i]);
    free(lines->items);
    *lines = (struct vnf_lines){0};
}
