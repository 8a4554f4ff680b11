// What the checker knows: for each key the states that it may be in, and what was last done to it.
//
// A key belongs to one worker, which alone writes it; so the order of what is done to it is known, and it has
// one state,
// except after a kill -9: what was under way then may have happened or not, and the key has a state for
// either until an answer
// tells. Each answer strikes out the states that it rules out; when none is left, it was wrong.
//
// Expiry. The clock is the checker's and may go backwards. A key whose expiry is above every time that the
// clock has
// shown is there; one whose expiry is at or below all that it showed during an operation is gone; between,
// both are right, as the
// store removes expired keys when it finds them.
#ifndef MEC_TESTS_SOAK_MODEL_H
#define MEC_TESTS_SOAK_MODEL_H

#include <stdatomic.h>
#include <stdio.h>

#include "tests/soak/soak.h"

#define SOAK_STATES   8u
#define SOAK_PAST     32u
#define SOAK_VERSIONS 4u

struct soak_state {
    uint64_t id; // 0: the key is not there
    uint64_t expire_ms;
    uint32_t len;
};

// One thing that was done to a key.
struct soak_past {
    uint64_t at_us, id, arg; // arg: what the answer said: a digest's low bits, a version, an expiry
    uint32_t len;
    uint8_t op, status;
};

struct soak_key {
    struct soak_state states[SOAK_STATES];
    uint32_t count;
    uint32_t past_count;
    uint64_t version; // of the present value; 0: not known
    uint64_t old_versions[SOAK_VERSIONS];
    struct soak_past past[SOAK_PAST];
    // For scans by any worker: the tick since when the key has been there without a break and without an
    // expiry, or has
    // been gone; 0: neither is certain.
    _Atomic uint64_t present_since, absent_since;
};

// What the clock showed during an operation.
struct soak_window {
    uint64_t low_ms, high_ms; // from before it to after it
    uint64_t top_ms;          // the latest ever
};

enum soak_judgement {
    SOAK_FINE,
    SOAK_WRONG,
};

bool soak_may_be_there(const struct soak_state *state, const struct soak_window *window);
bool soak_may_be_gone(const struct soak_state *state, const struct soak_window *window);

// The key's only state from now on.
void soak_key_set(struct soak_key *key, struct soak_state state);
// One more that it may be in. False: too many.
bool soak_key_add(struct soak_key *key, struct soak_state state);

// Strike out what the answer rules out; `now` is a tick for present_since and absent_since.
enum soak_judgement soak_judge_gone(struct soak_key *key, const struct soak_window *window, uint64_t now);
enum soak_judgement soak_judge_there(struct soak_key *key, const struct soak_window *window, uint64_t now);
enum soak_judgement soak_judge_value(struct soak_key *key, const struct soak_window *window, uint64_t now,
                                     uint64_t len, uint64_t digest);
enum soak_judgement soak_judge_len(struct soak_key *key, const struct soak_window *window, uint64_t now,
                                   uint64_t len);
enum soak_judgement soak_judge_expiry(struct soak_key *key, const struct soak_window *window, uint64_t now,
                                      uint64_t expire_ms);
// A version that was given for the present value: never one of an older value.
enum soak_judgement soak_judge_version(struct soak_key *key, uint64_t version);
// The value is being replaced: its versions are old ones.
void soak_version_ends(struct soak_key *key);
// Takes note of what is certain about the key for scans.
void soak_note_presence(struct soak_key *key, uint64_t now);

void soak_remember(struct soak_key *key, struct soak_past past);
void soak_print_key(FILE *out, uint32_t index, const struct soak_key *key);

#endif
