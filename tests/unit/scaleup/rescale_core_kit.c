#include "rescale_core_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kit_world w;

static bool on_connect(void *arg, struct error *e)
{
    (void)arg;
    assert_false(w.up);
    w.connects++;
    w.up = !w.connect_fails;
    if (w.connect_fails)
        error_set(e, "nobody there");
    return !w.connect_fails;
}

static void on_drop(void *arg)
{
    (void)arg;
    w.drops++;
    w.up = false;
}

static bool on_send(void *arg, const struct message *message)
{
    (void)arg;
    assert_true(w.up);
    if (message->type == MESSAGE_PING)
        w.pings++;
    else if (w.sent_count < SENT_MAX)
        w.sent[w.sent_count++] = *message;
    return !w.send_fails;
}

static void on_event(void *arg, const struct rescale_event *event)
{
    (void)arg;
    if (w.event_count < EVENT_MAX)
        w.events[w.event_count++] = *event;
}

static uint32_t on_random(void *arg)
{
    (void)arg;
    return w.random;
}

static void on_ended(void *arg, unsigned slot)
{
    (void)arg;
    (void)slot;
    w.ended++;
}

static void on_done(void *arg, const struct response *response)
{
    (void)arg;
    w.last = *response;
    w.interim += !response->final;
    w.finals += response->final;
    assert_int_equal(response->final, message_state_is_final(response->state));
}

static void on_status(void *arg, struct message *answer, const char *why)
{
    (void)arg;
    w.statuses++;
    (void)snprintf(w.status_why, sizeof w.status_why, "%.200s", why != NULL ? why : "");
    if (answer != NULL)
        message_release(answer);
}

void kit_begin(const char *vnf)
{
    const struct rescale_options options = {.vnf = vnf, .backoff_min_ms = 250, .backoff_max_ms = 30000};
    const struct rescale_effects effects = {on_connect, on_drop,  on_send, on_event,
                                            on_random,  on_ended, NULL};
    memset(&w, 0, sizeof w);
    w.now = 1000;
    w.random = 0;
    rescale_core_init(&w.core, &options, &effects, w.now);
}

void kit_line(const char *text)
{
    rescale_core_line(&w.core, text, strlen(text), w.now);
}

uint64_t kit_tick(void)
{
    return rescale_core_tick(&w.core, w.now);
}

void kit_welcome_with(unsigned lease_ms)
{
    char text[160];
    (void)kit_tick();
    rescale_core_connected(&w.core, w.now);
    (void)snprintf(
        text, sizeof text,
        "{\"type\":\"welcome\",\"version\":1,\"granted_bytes\":1000,\"granularity\":10,\"lease_ms\":%u}",
        lease_ms);
    kit_line(text);
    assert_int_equal(w.core.phase, RESCALE_OPEN);
}

void kit_ask(const char *id, uint64_t deadline_ms)
{
    struct rescale_item *item = calloc(1, sizeof *item);
    assert_non_null(item);
    item->message.type = MESSAGE_RESCALE;
    (void)snprintf(item->message.id, sizeof item->message.id, "%s", id);
    item->message.target_bytes = 7;
    item->message.deadline_ms = deadline_ms;
    item->asked_ms = w.now;
    item->gives_up_ms = w.now + (deadline_ms != 0 ? deadline_ms : RESCALE_DEADLINE_MS) + RESCALE_GRACE_MS;
    item->done = on_done;
    rescale_core_ask(&w.core, item, w.now);
}

void kit_ask_status(uint64_t timeout_ms)
{
    struct rescale_item *item = calloc(1, sizeof *item);
    assert_non_null(item);
    item->message.type = MESSAGE_STATUS_ASK;
    item->asked_ms = w.now;
    item->gives_up_ms = w.now + timeout_ms;
    item->status = on_status;
    rescale_core_ask(&w.core, item, w.now);
}

const struct message *kit_last_sent(enum message_type type)
{
    assert_true(w.sent_count > 0);
    assert_int_equal(w.sent[w.sent_count - 1].type, type);
    return &w.sent[w.sent_count - 1];
}

const struct rescale_event *kit_last_event(enum rescale_event_type type)
{
    assert_true(w.event_count > 0);
    assert_int_equal(w.events[w.event_count - 1].type, type);
    return &w.events[w.event_count - 1];
}

uint64_t kit_next_attempt(void)
{
    unsigned before = w.connects;
    uint64_t from = w.now;
    while (w.connects == before) {
        uint64_t next = kit_tick();
        if (w.connects != before)
            break;
        assert_true(next > w.now);
        w.now = next;
    }
    return w.now - from;
}
