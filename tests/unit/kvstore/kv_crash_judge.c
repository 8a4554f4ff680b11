#include "kv_crash_kit.h"

#include <stdlib.h>
#include <string.h>

static bool durable_at(const struct crash_event *e, const struct crash_syncs *syncs, uint64_t t)
{
    if (e->end > t)
        return false;
    if (e->waits)
        return true;
    for (size_t i = 0; i < syncs->count; i++)
        if (syncs->list[i].begin >= e->end && syncs->list[i].end <= t)
            return true;
    return false;
}

void crash_allow_at(const struct crash_history *h, const struct crash_syncs *syncs, uint64_t t,
                    struct crash_allowed *a)
{
    a->count = 0;
    size_t i = h->count;
    while (i > 0 && !durable_at(&h->events[i - 1], syncs, t))
        i--;
    a->durable = i;
    if (i == 0)
        for (size_t b = 0; b < h->base_count; b++)
            a->states[a->count++] = h->base[b];
    else
        a->states[a->count++] = h->events[i - 1].state;
    a->first_new = a->count;
    for (; i < h->count && h->events[i].begin < t && a->count < 512; i++)
        a->states[a->count++] = h->events[i].state;
}

const char *const crash_kind_names[KINDS] = {"good",    "OLD",     "LOST",  "UNDEAD", "CORRUPT",
                                             "TORNNEW", "TORNDEL", "ALIEN", "OPEN",   "EXPIRY",
                                             "AGAIN",   "DIFFER",  "LEFT"};
bool crash_is_failure(enum crash_kind kind)
{
    return kind != GOOD && kind != TORNNEW && kind != TORNDEL;
}

// Which of the values ever put this is; 0: none.
static uint32_t recognise(uint32_t key, const struct crash_history *h, const struct crash_allowed *a,
                          const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->states[i].value != 0 && crash_is_value(key, a->states[i].value, data, len))
            return a->states[i].value;
    for (size_t i = 0; i < h->count; i++)
        if (h->events[i].state.value != 0 && crash_is_value(key, h->events[i].state.value, data, len))
            return h->events[i].state.value;
    for (uint32_t v = 1; v < atomic_load(&crash_next_value); v++)
        if (crash_is_value(key, v, data, len))
            return v;
    return 0;
}

enum crash_kind crash_judge(uint32_t key, const struct crash_history *h, const struct crash_allowed *a,
                            uint64_t now, struct kv_store *store, struct crash_seen *seen)
{
    uint8_t k[512];
    size_t key_len = crash_make_key(key, k), len;
    void *data;
    *seen = (struct crash_seen){0};
    seen->status = kv_get_alloc(store, k, key_len, &data, &len, NULL);
    bool absent_allowed = false, there_allowed = false, absent_durable = false, absent_new = false,
         mixed_base = false;
    for (size_t i = 0; i < a->count; i++) {
        bool absent = !crash_is_visible(a->states[i], now);
        absent_allowed |= absent;
        there_allowed |= !absent;
        absent_durable |= absent && i < a->first_new;
        absent_new |= absent && i >= a->first_new;
        mixed_base |= i > 0 && i < a->first_new; // what a crash before left open
    }
    if (seen->status == KV_NOT_FOUND)
        return absent_allowed ? GOOD : LOST;
    if (seen->status != KV_OK)
        return !there_allowed || !absent_allowed ? CORRUPT
               : absent_durable                  ? TORNNEW
               : absent_new || mixed_base        ? TORNDEL
                                                 : CORRUPT;
    seen->value = recognise(key, h, a, data, len);
    free(data);
    (void)kv_get_expiry(store, k, key_len, &seen->expire);
    bool value_allowed = false;
    for (size_t i = 0; i < a->count; i++) {
        if (a->states[i].value == 0 || a->states[i].value != seen->value)
            continue;
        value_allowed = true;
        if (a->states[i].expire == seen->expire)
            return GOOD;
    }
    if (seen->value == 0)
        return ALIEN;
    if (value_allowed)
        return EXPIRY;
    bool any_visible = false;
    for (size_t i = 0; i < a->count; i++)
        any_visible |= crash_is_visible(a->states[i], now);
    return any_visible ? OLD : UNDEAD;
}
