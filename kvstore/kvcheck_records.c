// Every segment, from its header to its end.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "kvstore/kv_io.h"
#include "kvstore/kvcheck.h"

static bool take_header(struct check *check, struct check_segment *segment, int fd, struct error *e)
{
    uint8_t head[KV_SEGMENT_HEAD];
    size_t got = 0;
    int error = kv_io_read(fd, head, sizeof head, 0, &got);
    segment->header_holds =
        error == 0 && got == sizeof head && kv_segment_decode(&check->manifest.seeds, segment->id, head);
    if (segment->header_holds)
        return true;
    struct check_finding finding = {.kind = error != 0 ? CHECK_UNREADABLE : CHECK_HEADER,
                                    .segment = segment->id,
                                    .length = KV_SEGMENT_HEAD,
                                    .error = error};
    segment->damaged++;
    return check_add(check, &finding, e);
}

// Bytes that nobody can read go; what the device refuses stays, it may be readable another time.
static bool take_damage(struct check *check, struct check_segment *segment, const struct kv_item *item,
                        struct error *e)
{
    struct check_finding finding = {.kind = item->kind == KV_ITEM_DAMAGED ? CHECK_RECORD : CHECK_UNREADABLE,
                                    .segment = segment->id,
                                    .offset = item->offset,
                                    .length = item->size,
                                    .error = item->error};
    if (item->kind == KV_ITEM_DAMAGED)
        segment->damaged++;
    else
        segment->unreadable++;
    return check_add(check, &finding, e) &&
           (item->kind != KV_ITEM_DAMAGED || check_act(check,
                                                       &(struct check_action){.act = CHECK_ZERO,
                                                                              .segment = segment->id,
                                                                              .offset = item->offset,
                                                                              .length = item->size},
                                                       e));
}

// What the end of the file makes of a record: being written when the process died, or cut off later.
static bool take_tail(struct check *check, struct check_segment *segment, const struct kv_item *item,
                      struct error *e)
{
    struct check_finding finding = {.kind = segment->noted == 0 ? CHECK_TAIL : CHECK_TORN,
                                    .segment = segment->id,
                                    .offset = item->offset,
                                    .length = item->size};
    segment->torn++;
    segment->cut_at = item->offset;
    return check_add(check, &finding, e);
}

static bool take(struct check *check, struct check_segment *segment, const struct kv_item *item,
                 struct error *e)
{
    segment->cut_at = item->offset + item->size;
    switch (item->kind) {
    case KV_ITEM_RECORD:
        return check_take_item(check, segment, item, e);
    case KV_ITEM_DAMAGED:
    case KV_ITEM_UNREADABLE:
        return take_damage(check, segment, item, e);
    case KV_ITEM_TORN:
        return take_tail(check, segment, item, e);
    case KV_ITEM_ZERO:
    case KV_ITEM_END:
        break;
    }
    return true;
}

static bool walk_segment(struct check *check, struct check_segment *segment, int fd, struct error *e)
{
    struct kv_walk walk;
    segment->cut_at = KV_SEGMENT_HEAD;
    if (segment->end <= KV_SEGMENT_HEAD)
        return true;
    int error = ENOMEM;
    bool ok = true;
    struct kv_item item = {.kind = KV_ITEM_ZERO};
    if (kv_walk_begin(&walk, &check->manifest.seeds, segment->id, fd, segment->end))
        error = 0;
    while (ok && error == 0 && item.kind != KV_ITEM_END) {
        error = kv_walk_next(&walk, &item);
        if (error == 0 && item.kind != KV_ITEM_END)
            ok = take(check, segment, &item, e);
    }
    kv_walk_end(&walk);
    if (error != 0)
        error_set(e, "segment %08llu: %s", (unsigned long long)segment->id, strerror(error));
    return ok && error == 0;
}

static bool check_segment(struct check *check, struct check_segment *segment, struct error *e)
{
    char path[PATH_MAX];
    check_path(check, segment->id, path);
    struct stat st;
    int fd = check_open(path, &st);
    if (fd < 0) {
        error_set(e, "%s: %s", path, strerror(errno));
        return false;
    }
    (void)kv_io.fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); // what the device has, not what the page cache says
    bool ok = take_header(check, segment, fd, e) && walk_segment(check, segment, fd, e);
    (void)kv_io.close(fd);
    return ok;
}

bool check_records(struct check *check, struct error *e)
{
    if (!check->manifest_usable)
        return true;
    for (size_t i = 0; i < check->count; i++)
        if (!check->segments[i].missing && !check_segment(check, &check->segments[i], e))
            return false;
    return check_decide(check, e);
}
