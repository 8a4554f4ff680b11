// What repair would do, and doing it.
//
// Order: the snapshot goes first (it points at records that are about to change), then the segments, then the manifest: stopped at
// any moment, what is left can be checked and repaired again.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_io.h"
#include "kvstore/kv_segment.h"
#include "kvstore/kvcheck.h"

bool check_act(struct check *check, const struct check_action *action, struct error *e)
{
    if (check->action_count == check->action_capacity) {
        size_t capacity = check->action_capacity * 2 + 16;
        struct check_action *list = realloc(check->actions, capacity * sizeof *list);
        if (list == NULL) {
            error_set(e, "out of memory");
            return false;
        }
        check->actions = list;
        check->action_capacity = capacity;
    }
    check->actions[check->action_count++] = *action;
    return true;
}

// ---- plan

static bool plan_cut(struct check *check, const struct check_segment *s, uint64_t at, struct error *e)
{
    return check_act(check,
                     &(struct check_action){
                         .act = CHECK_CUT, .segment = s->id, .offset = at, .length = s->file_bytes - at},
                     e);
}

// What is to be done about one segment's file. *size: what the manifest is to say afterwards.
static bool plan_segment(struct check *check, const struct check_segment *s, uint64_t *size, struct error *e)
{
    *size = s->noted;
    if (s->missing)
        return true;
    if (!s->header_holds &&
        !check_act(
            check,
            &(struct check_action){.act = CHECK_WRITE_HEADER, .segment = s->id, .length = KV_SEGMENT_HEAD},
            e))
        return false;
    if (s->noted == 0) // open: opening cuts its end, but for what no segment can have
        return s->file_bytes <= s->end || plan_cut(check, s, s->end, e);
    if (s->end < s->noted || s->cut_at < s->end) // it has been cut: it ends with its last whole record
        *size = s->cut_at;
    return s->file_bytes <= *size || plan_cut(check, s, *size, e);
}

// The manifest as it is to be: without the missing segments, with the sizes that there are.
static bool plan_manifest(struct check *check, struct error *e)
{
    struct kv_manifest *manifest = &check->manifest;
    bool stale = check->manifest_lost;
    size_t kept = 0;
    for (size_t i = 0; i < check->finding_count; i++)
        stale = stale || check->findings[i].kind == CHECK_MANIFEST_COPY;
    for (size_t i = 0; i < check->count; i++) {
        const struct check_segment *s = &check->segments[i];
        uint64_t size;
        if (!plan_segment(check, s, &size, e))
            return false;
        stale = stale || s->missing || size != s->noted;
        if (!s->missing)
            manifest->segments[kept++] = (struct kv_manifest_segment){.id = s->id, .size = size};
    }
    manifest->count = kept;
    return !stale || check_act(check, &(struct check_action){.act = CHECK_WRITE_MANIFEST}, e);
}

bool check_plan(struct check *check, struct error *e)
{
    if (!check->manifest_usable)
        return true;
    if (!plan_manifest(check, e))
        return false;
    bool bad = false;
    for (size_t i = 0; i < check->finding_count; i++)
        bad = bad || check->findings[i].kind == CHECK_SNAPSHOT;
    return !check->snapshot_there || (!bad && check->action_count == 0) ||
           check_act(check, &(struct check_action){.act = CHECK_DROP_SNAPSHOT}, e);
}

// ---- apply

// The file that actions are being applied to.
struct target {
    uint64_t segment;
    int fd; // -1: none
};

// Syncs and closes. False: some of what was done may not be on the device.
static bool let_go(struct target *target, struct error *e)
{
    int fd = target->fd;
    target->fd = -1;
    if (fd < 0)
        return true;
    bool ok = kv_io.fsync(fd) == 0;
    if (!ok)
        error_set(e, "segment %08llu: fsync: %s", (unsigned long long)target->segment, strerror(errno));
    (void)kv_io.close(fd);
    return ok;
}

static bool take_hold(const struct check *check, struct target *target, uint64_t segment, struct error *e)
{
    if (target->fd >= 0 && target->segment == segment)
        return true;
    if (!let_go(target, e))
        return false;
    char path[PATH_MAX];
    check_path(check, segment, path);
    target->segment = segment;
    target->fd = kv_io.open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (target->fd < 0)
        error_set(e, "%s: %s", path, strerror(errno));
    return target->fd >= 0;
}

static int apply_to_file(const struct check *check, int fd, const struct check_action *action)
{
    uint8_t head[KV_SEGMENT_HEAD];
    switch (action->act) {
    case CHECK_ZERO:
        return kv_io_zero(fd, action->offset, action->length);
    case CHECK_SET_MARK:
        return kv_io_write(fd, &action->mark, sizeof action->mark, action->offset);
    case CHECK_WRITE_HEADER:
        kv_segment_encode(&check->manifest.seeds, action->segment, head);
        return kv_io_write(fd, head, sizeof head, 0);
    case CHECK_CUT:
        return kv_io.ftruncate(fd, (off_t)action->offset) == 0 ? 0 : errno;
    case CHECK_DROP_SNAPSHOT:
    case CHECK_WRITE_MANIFEST:
        break;
    }
    return EINVAL;
}

static bool drop_snapshot(const struct check *check, struct error *e)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/INDEX", check->dir);
    int error = kv_io.unlink(path) == 0 || errno == ENOENT ? kv_io_sync_dir(check->dir) : errno;
    if (error != 0)
        error_set(e, "%s: remove: %s", path, strerror(error));
    return error == 0;
}

static bool write_manifest(const struct check *check, struct error *e)
{
    const char *what;
    bool renamed;
    int error = kv_manifest_replace(check->dir, &check->manifest, &what, &renamed);
    if (error != 0)
        error_set(e, "manifest: %s: %s", what, strerror(error));
    return error == 0;
}

static bool apply(const struct check *check, struct target *target, const struct check_action *action,
                  struct error *e)
{
    if (action->act == CHECK_DROP_SNAPSHOT)
        return drop_snapshot(check, e);
    if (action->act == CHECK_WRITE_MANIFEST)
        return let_go(target, e) && write_manifest(check, e);
    if (!take_hold(check, target, action->segment, e))
        return false;
    int error = apply_to_file(check, target->fd, action);
    if (error != 0)
        error_set(e, "segment %08llu: write at %llu: %s", (unsigned long long)action->segment,
                  (unsigned long long)action->offset, strerror(error));
    return error == 0;
}

bool check_apply(struct check *check, struct error *e)
{
    struct target target = {.fd = -1};
    bool ok = true;
    for (unsigned act = CHECK_DROP_SNAPSHOT; ok && act <= CHECK_WRITE_MANIFEST; act++)
        for (size_t i = 0; ok && i < check->action_count; i++)
            if (check->actions[i].act == act)
                ok = check->actions[i].done = apply(check, &target, &check->actions[i], e);
    return let_go(&target, ok ? e : NULL) && ok;
}
