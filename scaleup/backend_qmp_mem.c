// virtio-mem: one device whose requested-size the host sets and whose size the guest brings there, block by block, as well as it can. Success of qom-set means that it was accepted;
// done is when size is requested-size. When nothing moves any more, the rest is called off (requested-size = size), so that the VM does not get later what nobody counts as its own,
// nor lose what it was told it keeps.
#include <stdio.h>
#include <string.h>

#include "scaleup/backend_qmp.h"

static const char *take_devices(struct backend *b, const json_t *list)
{
    const json_t *item, *mine = NULL;
    size_t i;
    uint64_t others = 0;
    json_array_foreach((json_t *)list, i, item)
    {
        const json_t *data = json_object_get(item, "data");
        const char *type = json_string_value(json_object_get(item, "type"));
        const char *id = json_string_value(json_object_get(data, "id"));
        if (type && id && strcmp(type, "virtio-mem") == 0 && strcmp(id, b->device) == 0)
            mine = data;
        else
            others += backend_qmp_number(data, "size");
    }
    if (!mine)
        return "the VM has no virtio-mem device of that id";
    b->other_bytes = others;
    b->device_bytes = backend_qmp_number(mine, "size");
    b->requested_bytes = backend_qmp_number(mine, "requested-size");
    b->max_bytes = backend_qmp_number(mine, "max-size");
    b->block_bytes = backend_qmp_number(mine, "block-size");
    return b->block_bytes && b->max_bytes ? NULL : "QMP: query-memory-devices: no block-size or max-size";
}

// How much of the target the device has to bring, and in b->limit why that is not all of it.
static uint64_t wanted(struct backend *b)
{
    uint64_t fixed = b->base_bytes + b->other_bytes;
    uint64_t bytes = b->target_bytes > fixed ? b->target_bytes - fixed : 0;
    if (b->target_bytes < fixed)
        (void)snprintf(b->limit, sizeof b->limit, "the VM cannot go below its base memory");
    if (bytes > b->max_bytes) {
        bytes = b->max_bytes;
        (void)snprintf(b->limit, sizeof b->limit, "the virtio-mem device is at its maximum");
    }
    if (bytes % b->block_bytes) {
        // A raise gives no more than was asked for, a return takes no more.
        bool raise = b->target_bytes > backend_qmp_actual(b);
        bytes -= bytes % b->block_bytes;
        if (!raise && bytes + b->block_bytes <= b->max_bytes)
            bytes += b->block_bytes;
        (void)snprintf(b->limit, sizeof b->limit, "the device has blocks of %llu bytes",
                       (unsigned long long)b->block_bytes);
    }
    return bytes;
}

static json_t *size_of(const struct backend *b)
{
    return json_pack("{s:s, s:s}", "path", b->device, "property", "size");
}

static json_t *request_of(const struct backend *b, uint64_t bytes)
{
    return json_pack("{s:s, s:s, s:I}", "path", b->device, "property", "requested-size", "value",
                     (json_int_t)bytes);
}

static void finish(struct backend *b)
{
    backend_qmp_end(b, b->limit[0] ? BACKEND_PARTIAL : BACKEND_DONE, b->limit);
}

static void take_size(struct backend *b, uint64_t bytes)
{
    bool moved = bytes != b->device_bytes;
    b->device_bytes = bytes;
    if (b->step == STEP_WAITING && bytes == b->wanted_bytes) {
        finish(b);
    } else if (moved && b->step == STEP_WAITING) {
        backend_qmp_progress(b);
        backend_qmp_wait(b);
    } else if (moved && b->step != STEP_SETTLING) {
        backend_qmp_changed(b, "");
    }
}

static void on_requested(struct backend *b, const json_t *value, const char *error)
{
    if (!value) {
        backend_qmp_end(b, BACKEND_REFUSED, error);
        return;
    }
    b->requested_bytes = b->wanted_bytes;
    backend_qmp_wait(b);
    b->mode->poll(b);
}

static void begin(struct backend *b)
{
    b->wanted_bytes = wanted(b);
    if (b->wanted_bytes == b->requested_bytes && b->wanted_bytes == b->device_bytes) {
        finish(b);
        return;
    }
    b->step = STEP_ASKING;
    backend_qmp_ask(b, "qom-set", request_of(b, b->wanted_bytes), on_requested);
}

static void on_size(struct backend *b, const json_t *value, const char *error)
{
    if (!value)
        backend_qmp_end(b, BACKEND_FAILED, error);
    else if (json_is_integer(value) && json_integer_value(value) >= 0)
        take_size(b, (uint64_t)json_integer_value(value));
    else
        backend_qmp_end(b, BACKEND_FAILED, "QMP: qom-get size: not a number");
}

static void poll_size(struct backend *b)
{
    backend_qmp_ask(b, "qom-get", size_of(b), on_size);
}

static void on_settled_size(struct backend *b, const json_t *value, const char *error)
{
    (void)error;
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        b->device_bytes = (uint64_t)json_integer_value(value);
    if (b->device_bytes == b->wanted_bytes)
        finish(b);
    else
        backend_qmp_end(b, BACKEND_PARTIAL, b->limit[0] ? b->limit : "the guest has gone no further");
}

static void on_called_off(struct backend *b, const json_t *value, const char *error)
{
    (void)value;
    (void)error;
    backend_qmp_ask(b, "qom-get", size_of(b), on_settled_size);
}

static void stall(struct backend *b)
{
    b->step = STEP_SETTLING;
    b->requested_bytes = b->device_bytes;
    backend_qmp_ask(b, "qom-set", request_of(b, b->device_bytes), on_called_off);
}

static void on_event(struct backend *b, const char *name, const json_t *data)
{
    if (strcmp(name, "MEMORY_DEVICE_SIZE_CHANGE") != 0)
        return;
    const char *id = json_string_value(json_object_get(data, "id"));
    const json_t *size = json_object_get(data, "size");
    if (id && strcmp(id, b->device) == 0 && json_is_integer(size))
        take_size(b, backend_qmp_number(data, "size"));
}

const struct qmp_mode qmp_mode_mem = {
    .name = "virtio-mem",
    .devices = take_devices,
    .begin = begin,
    .poll = poll_size,
    .stall = stall,
    .event = on_event,
};
