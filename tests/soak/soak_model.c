#include "tests/soak/soak_model.h"

#include <inttypes.h>
#include <stdlib.h>

bool soak_may_be_there(const struct soak_state *state, const struct soak_window *window)
{
    return state->id != 0 && (state->expire_ms == 0 || state->expire_ms > window->low_ms);
}

bool soak_may_be_gone(const struct soak_state *state, const struct soak_window *window)
{
    return state->id == 0 || (state->expire_ms != 0 && state->expire_ms <= window->top_ms);
}

void soak_note_presence(struct soak_key *key, uint64_t now)
{
    const struct soak_state *only = &key->states[0];
    bool present = key->count == 1 && only->id != 0 && only->expire_ms == 0;
    bool absent = key->count == 1 && only->id == 0;
    if (!present)
        atomic_store(&key->present_since, 0);
    else if (atomic_load(&key->present_since) == 0)
        atomic_store(&key->present_since, now);
    if (!absent)
        atomic_store(&key->absent_since, 0);
    else if (atomic_load(&key->absent_since) == 0)
        atomic_store(&key->absent_since, now);
}

void soak_key_set(struct soak_key *key, struct soak_state state)
{
    key->states[0] = state;
    key->count = 1;
}

bool soak_key_add(struct soak_key *key, struct soak_state state)
{
    for (uint32_t i = 0; i < key->count; i++)
        if (key->states[i].id == state.id && key->states[i].expire_ms == state.expire_ms)
            return true;
    if (key->count == SOAK_STATES)
        return false;
    key->states[key->count++] = state;
    return true;
}

// What an answer says of a key.
struct said {
    enum { GONE, THERE, VALUE, LEN, EXPIRY } what;
    uint64_t len, digest, expire_ms;
};

static bool fits(const struct soak_state *state, const struct soak_window *window, const struct said *said)
{
    if (said->what == GONE)
        return soak_may_be_gone(state, window);
    if (!soak_may_be_there(state, window))
        return false;
    switch (said->what) {
    case VALUE:
        return state->len == said->len && soak_value_digest(state->id, state->len) == said->digest;
    case LEN:
        return state->len == said->len;
    case EXPIRY:
        return state->expire_ms == said->expire_ms;
    default:
        return true;
    }
}

// Nothing is struck out when nothing would be left, so that a report shows what was expected.
static enum soak_judgement strike(struct soak_key *key, const struct soak_window *window, uint64_t now,
                                  const struct said *said)
{
    struct soak_state left[SOAK_STATES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < key->count; i++)
        if (fits(&key->states[i], window, said))
            left[count++] = key->states[i];
    if (count == 0)
        return SOAK_WRONG;
    if (count == key->count)
        return SOAK_FINE;
    for (uint32_t i = 0; i < count; i++)
        key->states[i] = left[i];
    key->count = count;
    soak_note_presence(key, now);
    return SOAK_FINE;
}

enum soak_judgement soak_judge_gone(struct soak_key *key, const struct soak_window *window, uint64_t now)
{
    return strike(key, window, now, &(struct said){.what = GONE});
}

enum soak_judgement soak_judge_there(struct soak_key *key, const struct soak_window *window, uint64_t now)
{
    return strike(key, window, now, &(struct said){.what = THERE});
}

enum soak_judgement soak_judge_value(struct soak_key *key, const struct soak_window *window, uint64_t now,
                                     uint64_t len, uint64_t digest)
{
    return strike(key, window, now, &(struct said){.what = VALUE, .len = len, .digest = digest});
}

enum soak_judgement soak_judge_len(struct soak_key *key, const struct soak_window *window, uint64_t now,
                                   uint64_t len)
{
    return strike(key, window, now, &(struct said){.what = LEN, .len = len});
}

enum soak_judgement soak_judge_expiry(struct soak_key *key, const struct soak_window *window, uint64_t now,
                                      uint64_t expire_ms)
{
    return strike(key, window, now, &(struct said){.what = EXPIRY, .expire_ms = expire_ms});
}

void soak_version_ends(struct soak_key *key)
{
    if (key->version == 0)
        return;
    for (uint32_t i = SOAK_VERSIONS - 1; i > 0; i--)
        key->old_versions[i] = key->old_versions[i - 1];
    key->old_versions[0] = key->version;
    key->version = 0;
}

enum soak_judgement soak_judge_version(struct soak_key *key, uint64_t version)
{
    if (version == 0)
        return SOAK_WRONG;
    if (key->count != 1)
        return SOAK_FINE;
    for (uint32_t i = 0; i < SOAK_VERSIONS; i++)
        if (key->old_versions[i] == version)
            return SOAK_WRONG;
    key->version = version;
    return SOAK_FINE;
}

void soak_remember(struct soak_key *key, struct soak_past past)
{
    key->past[key->past_count++ % SOAK_PAST] = past;
}

void soak_print_key(FILE *out, uint32_t index, const struct soak_key *key)
{
    uint8_t *bytes = malloc(KV_KEY_MAX);
    size_t len = bytes != NULL ? soak_key(index, bytes) : 0;
    (void)fprintf(out, "  key %u: hash %016" PRIx64 ", %zu bytes\n", index,
                  bytes != NULL ? soak_digest(bytes, len) : 0, len);
    free(bytes);
    for (uint32_t i = 0; i < key->count; i++)
        (void)fprintf(out, "  may be: id %" PRIx64 " len %u expiry %" PRIu64 "%s\n", key->states[i].id,
                      key->states[i].len, key->states[i].expire_ms,
                      key->states[i].id == 0 ? " (not there)" : "");
    uint32_t from = key->past_count > SOAK_PAST ? key->past_count - SOAK_PAST : 0;
    for (uint32_t i = from; i < key->past_count; i++) {
        const struct soak_past *past = &key->past[i % SOAK_PAST];
        (void)fprintf(out, "  %10.6f %-10s id %" PRIx64 " len %u arg %" PRIu64 " → %s\n",
                      (double)past->at_us / 1e6, soak_op_names[past->op], past->id, past->len, past->arg,
                      past->status == SOAK_ABSENT ? "(killed)"
                                                  : kv_status_text((enum kv_status)past->status));
    }
}
