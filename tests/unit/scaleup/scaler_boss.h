// A scaleupd of a few lines for tests of the scaler's thread: one connection at a time, on a Unix socket, misbehaving as told.
#ifndef MEC_TESTS_SCALER_BOSS_H
#define MEC_TESTS_SCALER_BOSS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum boss_mood { BOSS_OBEDIENT, BOSS_SILENT, BOSS_GARBAGE, BOSS_TWICE, BOSS_DEFERRING };

struct boss {
    char path[96]; // of the socket's folder
    char address[128];
    int listener, stop_pipe[2];
    pthread_t thread;
    pthread_mutex_t lock; // of the rest
    enum boss_mood mood;
    uint64_t granted;
    int peer; // -1: none
    unsigned hellos, rescales, reclaimings;
    uint64_t last_target;
};

void boss_begin(struct boss *boss, uint64_t granted);
void boss_end(struct boss *boss);
void boss_set_mood(struct boss *boss, enum boss_mood mood);
void boss_say(struct boss *boss, const char *format, ...) __attribute__((format(printf, 2, 3)));
void boss_hang_up(struct boss *boss);
uint64_t boss_granted(struct boss *boss);
unsigned boss_rescales(struct boss *boss);
unsigned boss_reclaimings(struct boss *boss);

#endif
