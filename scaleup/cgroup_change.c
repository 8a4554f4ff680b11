#include "scaleup/cgroup_change.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/units.h"

struct change {
    const struct cgroup_group *group;
    enum cgroup_version version;
    uint64_t target;
    struct cgroup_reading now;
    struct cgroup_result *result;
};

uint64_t cgroup_used(const struct cgroup_reading *reading)
{
    return reading->usage_bytes - reading->droppable_bytes;
}

uint64_t cgroup_actual(const struct cgroup_group *group, const struct cgroup_reading *reading)
{
    return reading->limit_bytes == CGROUP_UNLIMITED ? cgroup_machine_bytes(group->root)
                                                    : reading->limit_bytes;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
    uint64_t rest = bytes % unit;
    return rest ? bytes + (unit - rest) : bytes;
}

// The kernel keeps whole pages and cuts the rest off.
static bool is_at(uint64_t limit, uint64_t bytes)
{
    return limit <= bytes && bytes - limit < (uint64_t)sysconf(_SC_PAGESIZE);
}

// What has to be free under the limit. In version 2 memory.high is a margin below it, and beyond that the kernel slows the group down: so the margin is kept free under that.
static uint64_t room_of(const struct change *c)
{
    return c->version == CGROUP_V2 ? 2 * c->group->margin_bytes : c->group->margin_bytes;
}

static uint64_t floor_of(const struct change *c)
{
    return round_up(cgroup_used(&c->now) + room_of(c), c->group->granularity);
}

static bool read_now(struct change *c)
{
    return cgroup_read(c->group->path, c->version, &c->now, &c->result->why);
}

static void write_high(const struct change *c, uint64_t limit)
{
    uint64_t below = least(c->group->margin_bytes, limit / 8);
    // Without memory.high (or when it cannot be written) memory.max alone does it.
    (void)cgroup_write(c->group->path, "memory.high", limit == CGROUP_UNLIMITED ? limit : limit - below,
                       NULL);
}

// Reads back what is true and ends the change.
static bool end(struct change *c, enum backend_outcome outcome)
{
    struct cgroup_result *r = c->result;
    struct error unread;
    r->outcome = outcome;
    r->known = cgroup_read(c->group->path, c->version, &c->now, &unread);
    if (!r->known) {
        r->outcome = outcome == BACKEND_REFUSED ? BACKEND_REFUSED : BACKEND_FAILED;
        r->why = unread;
        return true;
    }
    if (c->version == CGROUP_V2)
        write_high(c, c->now.limit_bytes);
    r->reading = c->now;
    if (outcome == BACKEND_DONE && is_at(c->now.limit_bytes, c->target))
        r->reading.limit_bytes = c->target;
    return true;
}

static const char *limit_file(const struct change *c)
{
    return c->version == CGROUP_V2 ? "memory.max" : "memory.limit_in_bytes";
}

static bool raise_limit(struct change *c)
{
    int error = cgroup_write(c->group->path, limit_file(c), c->target, &c->result->why);
    if (error == EINVAL && c->version == CGROUP_V1) {
        error_set(&c->result->why, "%s/memory.memsw.limit_in_bytes is lower than what was asked for",
                  c->group->path);
        return end(c, BACKEND_REFUSED);
    }
    return end(c, error ? BACKEND_FAILED : BACKEND_DONE);
}

// Sets a lower limit. Version 1 refuses with EBUSY what it cannot reach. Version 2 would kill instead: so memory.high goes first, which drops cache and slows
// the group down, and memory.max only follows when what is in use has left its room free.
static int lower_to(struct change *c, uint64_t bytes)
{
    if (c->version == CGROUP_V2) {
        write_high(c, bytes);
        if (!read_now(c))
            return EIO;
        if (cgroup_used(&c->now) + room_of(c) > bytes) {
            error_set(&c->result->why, "%s: in use meanwhile", c->group->path);
            return EBUSY;
        }
    }
    return cgroup_write(c->group->path, limit_file(c), bytes, &c->result->why);
}

static bool partial(struct change *c)
{
    char used[16], margin[16];
    (void)units_format_size(cgroup_used(&c->now), used, sizeof used);
    (void)units_format_size(c->group->margin_bytes, margin, sizeof margin);
    error_set(&c->result->why, "%s: %s in use, margin %s", c->group->path, used, margin);
    return end(c, BACKEND_PARTIAL);
}

static void pause_ms(unsigned ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&ts, NULL);
}

// Above what is charged a limit costs nothing; below it every step drops page cache.
static uint64_t next_step(const struct change *c, uint64_t goal)
{
    uint64_t step = round_up(c->group->step_bytes, c->group->granularity);
    uint64_t from = least(c->now.limit_bytes, c->now.usage_bytes);
    if (from <= goal || from - goal <= step)
        return goal;
    uint64_t next = round_up(from - step, c->group->granularity);
    return next < c->now.limit_bytes ? most(next, goal) : goal;
}

static bool lower_limit(struct change *c)
{
    unsigned busy = 0;
    for (;;) {
        uint64_t goal = most(c->target, floor_of(c));
        if (is_at(c->now.limit_bytes, goal) || c->now.limit_bytes < goal)
            return goal > c->target ? partial(c) : end(c, BACKEND_DONE);
        uint64_t next = next_step(c, goal);
        int error = lower_to(c, next);
        if (error == EBUSY && busy++ < c->group->retries)
            pause_ms(c->group->retry_ms);
        else if (error == EBUSY)
            return partial(c);
        else if (error)
            return end(c, BACKEND_FAILED);
        else
            busy = 0;
        if (!read_now(c))
            return end(c, BACKEND_FAILED);
        if (!c->group->go_on(c->group->arg)) {
            if (c->version == CGROUP_V2)
                write_high(c, c->now.limit_bytes);
            return false;
        }
        if (!error && next > goal)
            c->group->progress(c->group->arg, &c->now);
    }
}

bool cgroup_change(const struct cgroup_group *group, uint64_t target_bytes, struct cgroup_result *result)
{
    struct change c = {.group = group, .target = target_bytes, .result = result};
    *result = (struct cgroup_result){.outcome = BACKEND_REFUSED};
    c.version = cgroup_find(group->path, &result->why);
    if (c.version == CGROUP_NONE || !read_now(&c))
        return true;
    if (target_bytes >= c.now.limit_bytes)
        (void)raise_limit(&c);
    else if (!lower_limit(&c))
        return false;
    if (result->outcome == BACKEND_DONE)
        result->why.text[0] = '\0';
    return true;
}
