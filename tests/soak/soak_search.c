// Values that were deleted or replaced are gone from the files, and from the store's memory: every mark that is found there
// has to be of a value that some key has.
#include "tests/soak/soak_check.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW     (4u * SOAK_MIB)
#define CONFIRM_US 200000u

struct search {
    struct soak_run *run;
    uint64_t *live; // ascending
    size_t count;
    uint8_t *buf;
    const char *where;
    int memory_fd; // -1: a file is being searched
};

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool collect_live(struct search *search)
{
    struct soak_run *run = search->run;
    search->live = malloc(((size_t)run->owned * SOAK_STATES + 1) * sizeof search->live[0]);
    if (search->live == NULL)
        return false;
    for (uint32_t i = 0; i < run->owned; i++)
        for (uint32_t j = 0; j < run->keys[i].count; j++)
            search->live[search->count++] = run->keys[i].states[j].id;
    qsort(search->live, search->count, sizeof search->live[0], compare);
    return true;
}

static void report(struct search *search, uint64_t id, uint64_t offset)
{
    struct soak_run *run = search->run;
    uint32_t index = UINT32_MAX;
    for (uint32_t i = 0; i < run->owned && index == UINT32_MAX; i++)
        for (uint32_t j = 0; j < SOAK_PAST && j < run->keys[i].past_count; j++)
            if (run->keys[i].past[j].id == id)
                index = i;
    soak_differ(run, index, "value %" PRIx64 " is gone, but a piece of it is at %#" PRIx64 " of %s", id,
                offset, search->where);
}

// Memory: what is on its way at the moment is no difference, what stays is.
static bool stays(const struct search *search, const uint8_t *at, uint64_t offset)
{
    uint8_t again[SOAK_MARK];
    if (search->memory_fd < 0)
        return true;
    (void)usleep(CONFIRM_US);
    return pread(search->memory_fd, again, sizeof again, (off_t)offset) == (ssize_t)sizeof again &&
           memcmp(again, at, sizeof again) == 0;
}

static void look(struct search *search, size_t len, uint64_t offset)
{
    uint64_t magic = SOAK_MAGIC, id, sum;
    for (const uint8_t *at = search->buf; len >= SOAK_MARK; at++) {
        at = memmem(at, (size_t)(search->buf + len - at), &magic, sizeof magic);
        if (at == NULL || (size_t)(search->buf + len - at) < SOAK_MARK)
            return;
        memcpy(&id, at + 8, sizeof id);
        memcpy(&sum, at + 16, sizeof sum);
        if (sum != soak_mix(id))
            continue;
        search->run->counts.marks_seen++;
        if (bsearch(&id, search->live, search->count, sizeof id, compare) == NULL &&
            !soak_shared_is_live(search->run, id) &&
            stays(search, at, offset + (uint64_t)(at - search->buf))) {
            report(search, id, offset + (uint64_t)(at - search->buf));
            return;
        }
    }
}

static void look_through(struct search *search, int fd, uint64_t from, uint64_t to)
{
    while (from < to && !soak_failed(search->run)) {
        size_t most = to - from < WINDOW ? (size_t)(to - from) : WINDOW;
        ssize_t n = pread(fd, search->buf, most, (off_t)from);
        if (n <= 0)
            return;
        look(search, (size_t)n, from);
        from += (size_t)n > SOAK_MARK && from + (size_t)n < to ? (size_t)n - SOAK_MARK : (size_t)n;
    }
}

static void search_files(struct search *search)
{
    DIR *dir = opendir(search->run->dir);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
        off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
        search->where = entry->d_name;
        if (size > 0 && entry->d_name[0] != '.')
            look_through(search, fd, 0, (uint64_t)size);
        if (fd >= 0)
            (void)close(fd);
    }
    if (dir != NULL)
        (void)closedir(dir);
}

static void search_memory(struct search *search)
{
    char path[64], line[512];
    (void)snprintf(path, sizeof path, "/proc/%d/mem", search->run->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)snprintf(path, sizeof path, "/proc/%d/maps", search->run->pid);
    FILE *maps = fopen(path, "re");
    while (fd >= 0 && maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        uint64_t from, to;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " rw", &from, &to) != 2 || strstr(line, " rw-p") == NULL)
            continue;
        line[strcspn(line, "\n")] = '\0';
        search->where = line;
        search->memory_fd = fd;
        look_through(search, fd, from, to);
    }
    if (maps != NULL)
        (void)fclose(maps);
    if (fd >= 0)
        (void)close(fd);
}

bool soak_search(struct soak_run *run)
{
    struct search search = {.run = run, .buf = malloc(WINDOW), .memory_fd = -1};
    // With `always` a replaced value is gone when the put returns; otherwise with the next sync, or when erase_within_ms says.
    bool ok = run->options.fsync == KV_FSYNC_ALWAYS || soak_control(run, SOAK_SYNC, 0);
    ok = ok && soak_control(run, SOAK_STATS, 0);
    bool can_erase = ok && !run->control.answer.stats.read_only;
    if (can_erase && search.buf != NULL && collect_live(&search)) {
        if (run->erase_within_ms == 0)
            search_files(&search);
        if (run->options.search_memory)
            search_memory(&search);
        run->counts.searches++;
    }
    free(search.buf);
    free(search.live);
    return ok;
}
