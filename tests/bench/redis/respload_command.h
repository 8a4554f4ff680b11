// The commands that bench_respload sends, as bytes. Pure.
//
// A key is named as redis-benchmark names the keys of `-r N -t get` ("key:" and twelve decimal digits), or
// as kvbench does (common/workload.h). Values are those of common/workload.h: every answer can be checked.
#ifndef MEC_BENCH_RESPLOAD_COMMAND_H
#define MEC_BENCH_RESPLOAD_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/workload.h"

enum respload_names { RESPLOAD_BENCHMARK_NAMES, RESPLOAD_STORE_NAMES };

#define RESPLOAD_BENCHMARK_KEY_BYTES 16u
#define RESPLOAD_BENCHMARK_KEYS_MAX  1000000000000u // twelve digits

// What the commands of a run have in common. Constant after its making.
struct respload_form {
    const struct workload_keyspace *space; // all values of one length
    enum respload_names names;
    size_t key_bytes, value_bytes;
    char get_head[32], set_head[32], value_head[32]; // what stands before the key and before the value
    size_t get_head_bytes, set_head_bytes, value_head_bytes;
};

// The space must outlive the form. False: more keys than the names can number.
bool respload_form_init(struct respload_form *form, const struct workload_keyspace *space,
                        enum respload_names names);

// How many bytes the longer of the two commands takes.
size_t respload_command_max(const struct respload_form *form);

// Write a command for key `number` into out (respload_command_max() bytes); return its length.
size_t respload_write_get(const struct respload_form *form, uint64_t number, uint8_t *out);
size_t respload_write_set(const struct respload_form *form, uint64_t number, uint8_t *out);

#endif
