// Values that say whose they are, and what an export visited of them.
#ifndef EXPORT_KIT_H
#define EXPORT_KIT_H

#include <stdatomic.h>

#include "fixture_kit.h"

#define EXPORT_KEYS 600u // uint32_t from 0 on
#define EXPORT_LEN  1500u
#define EXPORT_MOST 4096u // of the keys

// What an export visited.
struct visits {
    _Atomic unsigned times[EXPORT_MOST];
    uint32_t generation[EXPORT_MOST];
    uint64_t expire_ms[EXPORT_MOST];
    unsigned total;
    unsigned stop_after;                      // 0: never
    void (*meanwhile)(struct visits *visits); // called in the callback
    bool wrong;
};
extern struct visits export_visits; // of export_all()

// cmocka's, with fixture_teardown(): an empty store of 64 MiB.
int export_setup(void **state);
size_t export_len_of(uint32_t key, uint32_t generation);
void export_fill_value(uint32_t key, uint32_t generation, uint8_t *value, size_t len);
void export_put(uint32_t key, uint32_t generation, uint64_t expire_ms);
void export_put_all(uint32_t generation);
bool export_seen(void *arg, const void *key, size_t key_len, const void *value, size_t len,
                 uint64_t expire_ms);
enum kv_status export_all(void);
void export_expect_once(uint32_t from, uint32_t to);
void export_forget(void);

#endif
