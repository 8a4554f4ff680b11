// pc-dimm: memory in DIMMs of one size, plugged and unplugged. Adding is done when QEMU has it (the guest brings it online by itself); removing is asked for and done when the guest
// has ejected it (DEVICE_DELETED), or refused. The highest is removed first; one that the guest does not give up is passed over.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/backend_qmp.h"

#define ID_MAX 64

static void add_next(struct backend *b);
static void remove_next(struct backend *b);

static const char *dimm_id(const struct backend *b, size_t i, char id[static ID_MAX])
{
    (void)snprintf(id, ID_MAX, "%sdimm%zu", b->prefix, i);
    return id;
}

static const char *mem_id(const struct backend *b, size_t i, char id[static ID_MAX])
{
    (void)snprintf(id, ID_MAX, "%smem%zu", b->prefix, i);
    return id;
}

// The number of a DIMM of ours by its id, else DIMM_MAX.
static size_t index_of(const struct backend *b, const char *id)
{
    char expected[ID_MAX];
    size_t skip = strlen(b->prefix) + strlen("dimm");
    if (!id || strlen(id) <= skip || !isdigit((unsigned char)id[skip]))
        return DIMM_MAX;
    size_t i = strtoul(id + skip, NULL, 10);
    return i < DIMM_MAX && strcmp(dimm_id(b, i, expected), id) == 0 ? i : DIMM_MAX;
}

static void sum_up(struct backend *b)
{
    b->device_bytes = 0;
    for (size_t i = 0; i < DIMM_MAX; i++)
        if (b->dimms[i].there)
            b->device_bytes += b->dimms[i].bytes;
}

static const char *take_devices(struct backend *b, const json_t *list)
{
    const json_t *item;
    size_t n;
    for (size_t i = 0; i < DIMM_MAX; i++)
        b->dimms[i].there = false;
    b->other_bytes = 0;
    json_array_foreach((json_t *)list, n, item)
    {
        const json_t *data = json_object_get(item, "data");
        size_t i = index_of(b, json_string_value(json_object_get(data, "id")));
        if (i < DIMM_MAX) {
            b->dimms[i].there = true;
            b->dimms[i].bytes = backend_qmp_number(data, "size");
        } else {
            b->other_bytes += backend_qmp_number(data, "size");
        }
    }
    sum_up(b);
    return NULL;
}

static void end_short(struct backend *b, enum backend_outcome when_nothing_moved, const char *why)
{
    backend_qmp_end(b, b->moved ? BACKEND_PARTIAL : when_nothing_moved, why);
}

static void finish(struct backend *b, const char *why)
{
    if (backend_qmp_actual(b) == b->target_bytes)
        backend_qmp_end(b, BACKEND_DONE, "");
    else
        backend_qmp_end(b, BACKEND_PARTIAL, why);
}

static void on_object_gone(struct backend *b, const json_t *value, const char *error)
{
    (void)value;
    (void)error;
    end_short(b, BACKEND_REFUSED, b->limit);
}

static void on_added(struct backend *b, const json_t *value, const char *error)
{
    char id[ID_MAX];
    if (!value) {
        (void)snprintf(b->limit, sizeof b->limit, "%s", error);
        backend_qmp_ask(b, "object-del", json_pack("{s:s}", "id", mem_id(b, b->current, id)), on_object_gone);
        return;
    }
    b->dimms[b->current].there = true;
    b->dimms[b->current].bytes = b->dimm_bytes;
    sum_up(b);
    if (b->target_bytes >= backend_qmp_actual(b) + b->dimm_bytes)
        backend_qmp_progress(b);
    b->moved = true;
    add_next(b);
}

static void on_object_added(struct backend *b, const json_t *value, const char *error)
{
    char mem[ID_MAX], dimm[ID_MAX];
    // An object may be left over from a DIMM that the guest ejected while nobody was looking.
    if (!value && !strstr(error, "duplicate")) {
        end_short(b, BACKEND_REFUSED, error);
        return;
    }
    backend_qmp_ask(b, "device_add",
                    json_pack("{s:s, s:s, s:s}", "driver", "pc-dimm", "id", dimm_id(b, b->current, dimm),
                              "memdev", mem_id(b, b->current, mem)),
                    on_added);
}

static void add_next(struct backend *b)
{
    char id[ID_MAX];
    if (b->target_bytes < backend_qmp_actual(b) + b->dimm_bytes) {
        finish(b, "a whole DIMM more would be too much");
        return;
    }
    b->current = 0;
    while (b->current < DIMM_MAX && b->dimms[b->current].there)
        b->current++;
    if (b->current == DIMM_MAX) {
        end_short(b, BACKEND_REFUSED, "no DIMM slot is left");
        return;
    }
    backend_qmp_ask(b, "object-add",
                    json_pack("{s:s, s:s, s:I}", "qom-type", "memory-backend-ram", "id",
                              mem_id(b, b->current, id), "size", (json_int_t)b->dimm_bytes),
                    on_object_added);
}

static void on_deleted_object(struct backend *b, const json_t *value, const char *error)
{
    (void)value;
    (void)error;
    remove_next(b);
}

static void refused(struct backend *b, const char *why)
{
    b->dimms[b->current].refused = true;
    (void)snprintf(b->limit, sizeof b->limit, "%s", why);
    remove_next(b);
}

static void on_asked_for(struct backend *b, const json_t *value, const char *error)
{
    // "already in the process of unplug": an earlier request is still with the guest.
    if (value || strstr(error, "unplug"))
        backend_qmp_wait(b);
    else
        refused(b, error);
}

static void remove_next(struct backend *b)
{
    char id[ID_MAX];
    size_t i = DIMM_MAX;
    while (i > 0 && !(b->dimms[i - 1].there && !b->dimms[i - 1].refused &&
                      backend_qmp_actual(b) - b->dimms[i - 1].bytes >= b->target_bytes))
        i--;
    if (i == 0) {
        finish(b, b->limit[0] ? b->limit : "a whole DIMM less would be too little");
        return;
    }
    b->current = i - 1;
    b->step = STEP_ASKING;
    backend_qmp_ask(b, "device_del", json_pack("{s:s}", "id", dimm_id(b, b->current, id)), on_asked_for);
}

static void begin(struct backend *b)
{
    for (size_t i = 0; i < DIMM_MAX; i++)
        b->dimms[i].refused = false;
    b->step = STEP_ASKING;
    if (b->target_bytes >= backend_qmp_actual(b))
        add_next(b);
    else
        remove_next(b);
}

static void deleted(struct backend *b, size_t i)
{
    char id[ID_MAX];
    bool expected = i == b->current && (b->step == STEP_WAITING || b->step == STEP_ASKING);
    b->dimms[i].there = false;
    sum_up(b);
    json_t *object = json_pack("{s:s}", "id", mem_id(b, i, id));
    if (!expected) {
        (void)qmp_execute(b->qmp, "object-del", object, NULL, NULL, 0);
        backend_qmp_changed(b, "the guest has ejected a DIMM");
        return;
    }
    if (backend_qmp_actual(b) > b->target_bytes)
        backend_qmp_progress(b);
    b->moved = true;
    b->step = STEP_ASKING;
    backend_qmp_ask(b, "object-del", object, on_deleted_object);
}

// What the guest says of an ejection (ACPI 6.5, table 6.42 and _OST): 0 success, 0x84 in progress.
static bool ost_refuses(const json_t *info)
{
    uint64_t source = backend_qmp_number(info, "source"), status = backend_qmp_number(info, "status");
    return (source == 0x03 || source == 0x103) && status != 0 && status != 0x84;
}

static void on_event(struct backend *b, const char *name, const json_t *data)
{
    const json_t *info = json_object_get(data, "info");
    bool ost = strcmp(name, "ACPI_DEVICE_OST") == 0;
    size_t i = index_of(b, json_string_value(json_object_get(ost ? info : data, "device")));
    if (i == DIMM_MAX)
        return;
    if (strcmp(name, "DEVICE_DELETED") == 0) {
        if (b->dimms[i].there)
            deleted(b, i);
        return;
    }
    bool no = strcmp(name, "MEM_UNPLUG_ERROR") == 0 || strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") == 0 ||
              (ost && ost_refuses(info));
    if (no && b->step == STEP_WAITING && i == b->current)
        refused(b, "the guest does not give up a DIMM");
}

static void nothing_to_poll(struct backend *b)
{
    (void)b;
}

static void stall(struct backend *b)
{
    end_short(b, BACKEND_PARTIAL, "the guest has not ejected a DIMM in time");
}

const struct qmp_mode qmp_mode_dimm = {
    .name = "dimm",
    .devices = take_devices,
    .begin = begin,
    .poll = nothing_to_poll,
    .stall = stall,
    .event = on_event,
};
