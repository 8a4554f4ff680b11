#include "scaleup/limits_group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/limits_parse.h"
#include "scaleup/pressure.h"

#define TEXT_MAX 16384

struct names {
    const char *max, *high, *usage, *events;
    const char *inactive, *active, *dirty, *writeback; // of memory.stat, of this group and those below it
};

static const struct names names_of[] = {
    {"/memory.limit_in_bytes", NULL, "/memory.usage_in_bytes", "/memory.oom_control", "total_inactive_file",
     "total_active_file", "total_dirty", "total_writeback"},
    {"/memory.max", "/memory.high", "/memory.current", "/memory.events", "inactive_file", "active_file",
     "file_dirty", "file_writeback"},
};

static bool add_level(struct limits_group *group, const char *root, const char *point, const char *below,
                      size_t below_len)
{
    struct limits_level *level = &group->levels[group->count];
    size_t size = strlen(root) + strlen(point) + below_len + 1;
    *level = (struct limits_level){.folder = malloc(size),
                                   .max_file = LIMITS_FILE_CLOSED,
                                   .high_file = LIMITS_FILE_CLOSED,
                                   .usage_file = LIMITS_FILE_CLOSED,
                                   .stat_file = LIMITS_FILE_CLOSED,
                                   .max_bytes = LIMITS_NONE,
                                   .high_bytes = LIMITS_NONE};
    if (level->folder == NULL)
        return false;
    (void)snprintf(level->folder, size, "%s%s%.*s", root, point, (int)below_len, below);
    group->count++;
    return true;
}

bool limits_group_find(struct limits_group *group, bool version2, const char *root, const char *groups,
                       size_t groups_len, const char *mounts, size_t mounts_len)
{
    char path[LIMITS_PATH_MAX];
    struct limits_mount mount;
    *group = (struct limits_group){.version2 = version2,
                                   .events_file = LIMITS_FILE_CLOSED,
                                   .pressure_file = LIMITS_FILE_CLOSED,
                                   .inherited_bytes = LIMITS_NONE};
    if (!limits_parse_group(groups, groups_len, version2, path, sizeof path) ||
        !limits_parse_mount(mounts, mounts_len, version2, path, &mount))
        return true;
    const char *below = limits_group_below(&mount, path);
    size_t len = strlen(below);
    for (;;) {
        while (len > 0 && below[len - 1] == '/')
            len--;
        // Deeper than anybody nests: those in the middle are left out, never the outermost.
        if ((group->count < LIMITS_LEVELS_MAX - 1 || len == 0) &&
            !add_level(group, root, mount.point, below, len)) {
            limits_group_close(group);
            return false;
        }
        if (len == 0)
            return true;
        while (len > 0 && below[len - 1] != '/')
            len--;
    }
}

// A file that is there but cannot be read at the moment leaves the value: a limit must not seem to be gone because descriptors have run out.
static void read_limit(struct limits_file *file, const char *folder, const char *name, uint64_t *value)
{
    if (limits_file_number(file, folder, name, value) == LIMITS_FILE_NONE)
        *value = LIMITS_NONE;
}

static uint64_t field(const char *text, size_t len, const char *key)
{
    uint64_t value = 0;
    return limits_parse_field(text, len, key, &value) ? value : 0;
}

// File pages on the LRU lists but those that must be written first. Shared memory and locked pages are on other lists.
static uint64_t droppable(const struct names *names, const char *text, size_t len)
{
    uint64_t file, busy;
    if (__builtin_add_overflow(field(text, len, names->inactive), field(text, len, names->active), &file) ||
        __builtin_add_overflow(field(text, len, names->dirty), field(text, len, names->writeback), &busy))
        return 0;
    return file > busy ? file - busy : 0;
}

// What the level is charged for; *inherited, if not NULL: the least limit of it and of all above, which version 1 says. False: the memory controller is not
// active there (or cannot be read).
static bool read_usage(struct limits_level *level, const struct names *names, uint64_t *used,
                       uint64_t *inherited)
{
    char text[TEXT_MAX];
    size_t len = 0;
    uint64_t charged, drop = 0;
    if (limits_file_number(&level->usage_file, level->folder, names->usage, &charged) != LIMITS_FILE_READ)
        return false;
    if (limits_file_read(&level->stat_file, level->folder, "/memory.stat", text, sizeof text, &len) ==
        LIMITS_FILE_READ) {
        drop = droppable(names, text, len);
        if (inherited != NULL)
            (void)limits_parse_field(text, len, "hierarchical_memory_limit", inherited);
    }
    *used = charged > drop ? charged - drop : 0;
    return true;
}

static void read_kills(struct limits_group *group, struct limits_level *own, uint64_t *fresh)
{
    char text[1024];
    size_t len = 0;
    uint64_t kills;
    *fresh = 0;
    if (limits_file_read(&group->events_file, own->folder, names_of[group->version2].events, text,
                         sizeof text, &len) != LIMITS_FILE_READ ||
        !limits_parse_field(text, len, "oom_kill", &kills))
        return;
    if (group->kills_known && kills > group->kills)
        *fresh = kills - group->kills;
    group->kills = kills;
    group->kills_known = true;
}

static void read_pressure(struct limits_group *group, struct limits_group_reading *reading)
{
    char text[512];
    size_t len = 0;
    if (!group->version2 || limits_file_read(&group->pressure_file, group->levels[0].folder,
                                             "/memory.pressure", text, sizeof text, &len) != LIMITS_FILE_READ)
        return;
    (void)pressure_parse(text, len, &reading->psi_some, &reading->psi_full);
}

// A level's limit as the process's own group feels it: what siblings hold of it is not ours to use. own NULL: not known.
static void consider(struct limits_level *level, const struct names *names, const struct limits_level *own,
                     struct limits_group_reading *reading)
{
    bool high = level->high_bytes < level->max_bytes;
    uint64_t limit = high ? level->high_bytes : level->max_bytes;
    uint64_t used, own_used = reading->used_bytes;
    if (limit == LIMITS_NONE)
        return;
    if (own != NULL && level > own && read_usage(level, names, &used, NULL) && used > own_used)
        limit = used - own_used < limit ? limit - (used - own_used) : 0;
    if (limit < reading->limit_bytes) {
        reading->limit_bytes = limit;
        reading->high = high;
    }
}

void limits_group_read(struct limits_group *group, struct limits_group_reading *reading)
{
    const struct names *names = &names_of[group->version2];
    struct limits_level *own = NULL;
    *reading = (struct limits_group_reading){.limit_bytes = LIMITS_NONE, .psi_some = -1, .psi_full = -1};
    if (group->count == 0)
        return;
    for (size_t i = 0; i < group->count && own == NULL; i++) // the controller may be off in the lowest
        if (read_usage(&group->levels[i], names, &reading->used_bytes, &group->inherited_bytes))
            own = &group->levels[i];
    for (size_t i = 0; i < group->count; i++) {
        struct limits_level *level = &group->levels[i];
        read_limit(&level->max_file, level->folder, names->max, &level->max_bytes);
        if (names->high != NULL)
            read_limit(&level->high_file, level->folder, names->high, &level->high_bytes);
        consider(level, names, own, reading);
    }
    if (group->inherited_bytes < reading->limit_bytes) { // of a level that cannot be seen from here
        reading->limit_bytes = group->inherited_bytes;
        reading->high = false;
    }
    if (own != NULL)
        read_kills(group, own, &reading->new_kills);
    read_pressure(group, reading);
}

void limits_group_close(struct limits_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        struct limits_level *level = &group->levels[i];
        limits_file_close(&level->max_file);
        limits_file_close(&level->high_file);
        limits_file_close(&level->usage_file);
        limits_file_close(&level->stat_file);
        free(level->folder);
    }
    limits_file_close(&group->events_file);
    limits_file_close(&group->pressure_file);
    group->count = 0;
}
