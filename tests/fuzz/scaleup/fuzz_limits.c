// The kernel's files about memory: any text is taken or refused without harm, a refusal leaves the value alone, and no path leads out of the mount.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/limits_parse.h"
#include "scaleup/pressure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool good)
{
    if (!good)
        abort();
}

static void numbers(const char *text, size_t len)
{
    static const char *const keys[] = {"MemTotal:", "RssAnon:", "inactive_file", "hierarchical_memory_limit",
                                       "oom_kill"};
    uint64_t value = 77;
    double some = -7, full = -8;
    must(limits_parse_number(text, len, &value) || value == 77);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        value = 77;
        must(limits_parse_field(text, len, keys[i], &value) || value == 77);
    }
    if (pressure_parse(text, len, &some, &full))
        must(some >= 0 && some <= 100 && full >= -1 && full <= 100);
    else
        must(some < -6 && full < -7);
}

// The text twice: as where the process is and as what is mounted.
static void groups(const char *text, size_t len, bool version2)
{
    static char path[LIMITS_PATH_MAX];
    static struct limits_mount mount;
    if (!limits_parse_group(text, len, version2, path, sizeof path))
        memcpy(path, "/a/b", 5);
    must(path[0] == '/' && strlen(path) < sizeof path);
    if (!limits_parse_mount(text, len, version2, path, &mount))
        return;
    must(mount.root[0] == '/' && mount.point[0] == '/');
    const char *below = limits_group_below(&mount, path);
    must(below >= path && below <= path + strlen(path));
    must(below[0] == '\0' || below[0] == '/');
    must(strstr(below, "/../") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = malloc(len == 0 ? 1 : len); // its own block: a read beyond is seen
    if (text == NULL)
        return 0;
    if (len > 0)
        memcpy(text, data, len);
    numbers(text, len);
    groups(text, len, false);
    groups(text, len, true);
    free(text);
    return 0;
}
