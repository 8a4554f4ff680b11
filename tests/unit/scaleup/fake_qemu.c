#include "fake_qemu.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <inttypes.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define MB (1024ull * 1024)

void fake_say(struct fake_qemu *q, const char *line)
{
    if (q->client)
        (void)evbuffer_add_printf(bufferevent_get_output(q->client), "%s\r\n", line);
}

static void sayf(struct fake_qemu *q, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void sayf(struct fake_qemu *q, const char *format, ...)
{
    char line[8192];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fake_say(q, line);
}

static void say_size(struct fake_qemu *q)
{
    sayf(q,
         "{\"timestamp\": {\"seconds\": 1588168529, \"microseconds\": 201316}, \"event\": "
         "\"MEMORY_DEVICE_SIZE_CHANGE\", "
         "\"data\": {\"id\": \"vmem0\", \"size\": %" PRIu64 ", \"qom-path\": \"/machine/peripheral/vmem0\"}}",
         q->size);
}

void fake_resize(struct fake_qemu *q, uint64_t bytes)
{
    q->size = bytes;
    say_size(q);
}

static void guest_later(struct fake_qemu *q)
{
    struct timeval tv = {.tv_usec = 5000};
    (void)event_add(q->guest, &tv);
}

// The guest moves a step towards what is requested.
static void on_guest(evutil_socket_t fd, short what, void *arg)
{
    struct fake_qemu *q = arg;
    uint64_t way = q->requested > q->size ? q->requested - q->size : q->size - q->requested;
    uint64_t step = way < q->step_bytes ? way : q->step_bytes;
    (void)fd;
    (void)what;
    uint64_t next = q->requested > q->size ? q->size + step : q->size - step;
    if (step == 0 || (q->requested > q->size ? next > q->stop_at && q->stop_at : next < q->stop_at))
        return;
    q->size = next;
    if (q->events)
        say_size(q);
    guest_later(q);
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static void answer(struct fake_qemu *q, json_int_t id, const char *value)
{
    sayf(q, "{\"return\": %s, \"id\": %" JSON_INTEGER_FORMAT "}", value, id);
}

static void refuse(struct fake_qemu *q, json_int_t id, const char *class, const char *why)
{
    sayf(q, "{\"id\": %" JSON_INTEGER_FORMAT ", \"error\": {\"class\": \"%s\", \"desc\": \"%s\"}}", id, class,
         why);
}

static void qom_set(struct fake_qemu *q, json_int_t id, const json_t *args)
{
    uint64_t value = (uint64_t)json_integer_value(json_object_get(args, "value"));
    assert_string_equal(text(args, "path"), "vmem0");
    assert_string_equal(text(args, "property"), "requested-size");
    q->qom_sets++;
    if (value % q->block_bytes) {
        refuse(q, id, "GenericError", "'requested-size' has to be multiples of 'block-size' (0x200000)");
    } else if (value > q->max_bytes) {
        refuse(q, id, "GenericError", "'requested-size' cannot exceed the memory backend size(0x200000000)");
    } else {
        q->requested = value;
        answer(q, id, "{}");
        guest_later(q);
    }
}

static void list_devices(struct fake_qemu *q, json_int_t id)
{
    char list[4096] = "", one[512];
    if (!q->no_device)
        (void)snprintf(
            list, sizeof list,
            "{\"type\": \"virtio-mem\", \"data\": {\"memdev\": \"/objects/vmem0b\", \"memaddr\": 4294967296, "
            "\"block-size\": %" PRIu64 ", \"size\": %" PRIu64 ", \"node\": 0, \"max-size\": %" PRIu64
            ", \"requested-size\": %" PRIu64 ", \"id\": \"vmem0\"}}",
            q->block_bytes, q->size, q->max_bytes, q->requested);
    for (unsigned i = 0; i < q->dimm_count; i++) {
        (void)snprintf(one, sizeof one,
                       "%s{\"type\": \"dimm\", \"data\": {\"memdev\": \"/objects/%s\", \"hotplugged\": true, "
                       "\"addr\": 12884901888, \"hotpluggable\": true, \"size\": %" PRIu64
                       ", \"slot\": %u, \"node\": 0, \"id\": \"%s\"}}",
                       list[0] ? ", " : "", q->dimms[i].memdev, q->dimms[i].bytes, i, q->dimms[i].id);
        (void)strncat(list, one, sizeof list - strlen(list) - 1);
    }
    sayf(q, "{\"return\": [%s], \"id\": %" JSON_INTEGER_FORMAT "}", list, id);
}

static unsigned find_object(const struct fake_qemu *q, const char *name)
{
    unsigned i = 0;
    while (i < q->object_count && strcmp(q->objects[i], name) != 0)
        i++;
    return i;
}

static void object_add(struct fake_qemu *q, json_int_t id, const json_t *args)
{
    assert_string_equal(text(args, "qom-type"), "memory-backend-ram");
    if (find_object(q, text(args, "id")) < q->object_count) {
        sayf(q,
             "{\"id\": %" JSON_INTEGER_FORMAT ", \"error\": {\"class\": \"GenericError\", \"desc\": "
             "\"attempt to add duplicate property '%s' to object "
             "(type 'container')\"}}",
             id, text(args, "id"));
        return;
    }
    (void)snprintf(q->objects[q->object_count++], sizeof q->objects[0], "%s", text(args, "id"));
    answer(q, id, "{}");
}

static void object_del(struct fake_qemu *q, json_int_t id, const json_t *args)
{
    unsigned i = find_object(q, text(args, "id"));
    if (i == q->object_count) {
        refuse(q, id, "GenericError", "object not found");
        return;
    }
    memmove(q->objects[i], q->objects[q->object_count - 1], sizeof q->objects[0]);
    q->object_count--;
    answer(q, id, "{}");
}

static void device_add(struct fake_qemu *q, json_int_t id, const json_t *args)
{
    assert_string_equal(text(args, "driver"), "pc-dimm");
    if (q->dimm_count == q->slots) {
        refuse(q, id, "GenericError", "no free memory slots available");
    } else if (find_object(q, text(args, "memdev")) == q->object_count) {
        refuse(q, id, "DeviceNotFound", "Device 'nope' not found");
    } else {
        struct fake_dimm *d = &q->dimms[q->dimm_count++];
        (void)snprintf(d->id, sizeof d->id, "%s", text(args, "id"));
        (void)snprintf(d->memdev, sizeof d->memdev, "%s", text(args, "memdev"));
        d->bytes = 1024 * MB;
        answer(q, id, "{}");
    }
}

static void eject(struct fake_qemu *q, unsigned i)
{
    char id[32];
    (void)snprintf(id, sizeof id, "%s", q->dimms[i].id);
    memmove(&q->dimms[i], &q->dimms[i + 1], (q->dimm_count - i - 1) * sizeof q->dimms[0]);
    q->dimm_count--;
    sayf(q,
         "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"DEVICE_DELETED\", \"data\": "
         "{\"device\": "
         "\"%s\", \"path\": \"/machine/peripheral/%s\"}}",
         id, id);
}

static void device_del(struct fake_qemu *q, json_int_t id, const json_t *args)
{
    const char *device = text(args, "id");
    unsigned i = 0;
    while (i < q->dimm_count && strcmp(q->dimms[i].id, device) != 0)
        i++;
    if (i == q->dimm_count) {
        refuse(q, id, "DeviceNotFound", "Device not found");
        return;
    }
    answer(q, id, "{}");
    enum fake_unplug how = q->pinned && strcmp(q->pinned, device) != 0 ? FAKE_EJECT : q->unplug;
    switch (how) {
    case FAKE_EJECT:
        eject(q, i);
        break;
    case FAKE_OST_REFUSES: // in progress first, then busy
        sayf(q,
             "{\"event\": \"ACPI_DEVICE_OST\", \"data\": {\"info\": {\"device\": \"%s\", \"source\": 259, "
             "\"status\": 132, "
             "\"slot\": \"0\", \"slot-type\": \"DIMM\"}}}",
             device);
        sayf(q,
             "{\"event\": \"ACPI_DEVICE_OST\", \"data\": {\"info\": {\"device\": \"%s\", \"source\": 3, "
             "\"status\": 1, "
             "\"slot\": \"0\", \"slot-type\": \"DIMM\"}}}",
             device);
        break;
    case FAKE_UNPLUG_ERROR:
        sayf(q, "{\"event\": \"MEM_UNPLUG_ERROR\", \"data\": {\"device\": \"%s\", \"msg\": \"acpi: no\"}}",
             device);
        break;
    case FAKE_GUEST_ERROR:
        sayf(q,
             "{\"event\": \"DEVICE_UNPLUG_GUEST_ERROR\", \"data\": {\"device\": \"%s\", \"path\": \"/x\"}}",
             device);
        break;
    case FAKE_NO_ANSWER:
        break;
    }
}

static void carry_out(struct fake_qemu *q, const char *command, const json_t *args, json_int_t id)
{
    char value[128];
    if (strcmp(command, "qmp_capabilities") == 0) {
        answer(q, id, "{}");
    } else if (strcmp(command, "query-memory-size-summary") == 0) {
        (void)snprintf(value, sizeof value, "{\"base-memory\": %" PRIu64 ", \"plugged-memory\": 0}",
                       q->base_bytes);
        answer(q, id, value);
    } else if (strcmp(command, "query-memory-devices") == 0) {
        list_devices(q, id);
    } else if (strcmp(command, "qom-set") == 0) {
        qom_set(q, id, args);
    } else if (strcmp(command, "qom-get") == 0) {
        (void)snprintf(value, sizeof value, "%" PRIu64, q->size);
        answer(q, id, value);
    } else if (strcmp(command, "object-add") == 0) {
        object_add(q, id, args);
    } else if (strcmp(command, "object-del") == 0) {
        object_del(q, id, args);
    } else if (strcmp(command, "device_add") == 0) {
        device_add(q, id, args);
    } else if (strcmp(command, "device_del") == 0) {
        device_del(q, id, args);
    } else {
        fail_msg("QEMU got %s", command);
    }
}

static void drop_client(struct fake_qemu *q)
{
    if (q->client)
        bufferevent_free(q->client);
    q->client = NULL;
}

// True: the command has been dealt with.
static bool misbehave(struct fake_qemu *q, const char *command, const json_t *args, json_int_t id)
{
    static char block[65536];
    if (!q->break_at || strcmp(q->break_at, command) != 0)
        return false;
    if (q->once)
        q->break_at = NULL;
    switch (q->how) {
    case FAKE_SOUND:
        return false;
    case FAKE_HANG:
        return true;
    case FAKE_DROP:
        drop_client(q);
        return true;
    case FAKE_GARBAGE:
        fake_say(q, "{\"return\": \x01\xff");
        return true;
    case FAKE_ENDLESS:
        memset(block, 'x', sizeof block);
        for (int i = 0; i < 20; i++)
            (void)bufferevent_write(q->client, block, sizeof block);
        return true;
    case FAKE_ERROR:
        refuse(q, id, "GenericError", "it is broken");
        return true;
    case FAKE_TWICE:
        carry_out(q, command, args, id);
        refuse(q, id, "GenericError", "a second answer");
        return true;
    case FAKE_NO_ID:
        fake_say(q, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"to nobody\"}}");
        return false;
    case FAKE_NONSENSE:
        answer(q, id, "\"what?\"");
        return true;
    }
    return false;
}

static void on_client(struct bufferevent *bev, void *arg)
{
    struct fake_qemu *q = arg;
    char *line;
    while (q->client == bev && (line = evbuffer_readln(bufferevent_get_input(bev), NULL, EVBUFFER_EOL_LF))) {
        json_t *command = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(command);
        q->commands++;
        json_int_t id = json_integer_value(json_object_get(command, "id"));
        assert_true(id > 0);
        const json_t *args = json_object_get(command, "arguments");
        if (!misbehave(q, text(command, "execute"), args, id))
            carry_out(q, text(command, "execute"), args, id);
        json_decref(command);
        free(line);
    }
}

static void on_client_end(struct bufferevent *bev, short what, void *arg)
{
    struct fake_qemu *q = arg;
    (void)bev;
    (void)what;
    drop_client(q);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int len,
                      void *arg)
{
    struct fake_qemu *q = arg;
    (void)listener;
    (void)sa;
    (void)len;
    drop_client(q);
    q->connections++;
    q->client = bufferevent_socket_new(q->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(q->client, on_client, NULL, on_client_end, q);
    (void)bufferevent_enable(q->client, EV_READ | EV_WRITE);
    if (!q->no_greeting)
        fake_say(
            q, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": "
               "\"Debian 1:7.2+dfsg-7\"}, \"capabilities\": [\"oob\"]}}");
}

void fake_init(struct fake_qemu *q, struct event_base *base, const char *path)
{
    *q = (struct fake_qemu){.base = base,
                            .base_bytes = 512 * MB,
                            .max_bytes = 8192 * MB,
                            .block_bytes = 2 * MB,
                            .step_bytes = 256 * MB,
                            .events = true,
                            .slots = 4};
    (void)snprintf(q->path, sizeof q->path, "%s", path);
    (void)snprintf(q->address, sizeof q->address, "unix:%s", path);
    q->guest = evtimer_new(base, on_guest, q);
    assert_non_null(q->guest);
}

void fake_start(struct fake_qemu *q)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    assert_true(strlen(q->path) < sizeof sun.sun_path);
    memcpy(sun.sun_path, q->path, strlen(q->path));
    (void)unlink(q->path);
    q->listener = evconnlistener_new_bind(q->base, on_accept, q, LEV_OPT_CLOSE_ON_FREE, 4,
                                          (struct sockaddr *)&sun, sizeof sun);
    assert_non_null(q->listener);
}

void fake_stop(struct fake_qemu *q)
{
    drop_client(q);
    if (q->listener)
        evconnlistener_free(q->listener);
    q->listener = NULL;
    (void)event_del(q->guest);
    (void)unlink(q->path);
}
