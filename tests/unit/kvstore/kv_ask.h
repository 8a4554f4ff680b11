// A batch of gets to be asked, and whether the answers are right.
#ifndef MEC_TESTS_KV_ASK_H
#define MEC_TESTS_KV_ASK_H

#include "kv_read_kit.h"

#define KEYS 1200u
#define LEN  3000u
#define ROOM 4096u // of each get's buffer

// Gets of keys first, first + step, ... modulo so many.
struct ask {
    struct kv_get *gets;
    unsigned *numbers;
    char (*keys)[32];
    uint8_t *room;
    size_t count;
};
struct ask ask_new(size_t count, unsigned first, unsigned step, unsigned modulo);
void ask_free(struct ask *ask);
// Whether get number i was answered with a value of its key.
bool is_right(const struct ask *ask, size_t i);
void expect_all_right(const struct ask *ask, const char *way);

#endif
