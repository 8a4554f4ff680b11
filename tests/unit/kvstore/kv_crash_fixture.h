// A folder for a history that is recorded, and one for what a power failure leaves of it.
#ifndef MEC_TESTS_KV_CRASH_FIXTURE_H
#define MEC_TESTS_KV_CRASH_FIXTURE_H

#include "kv_crash_disk.h"
#include "kv_kit.h"

extern char crash_dir[128];
extern char crash_left[160]; // not there until crash_write_folder() makes it

// cmocka's: the recorder is in place.
int crash_setup(void **state);
int crash_teardown(void **state);

#endif
