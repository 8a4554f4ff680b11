#include "kv_crash_fixture.h"

#include <stdio.h>

#include "kvstore/kv_io.h"

char crash_dir[128];
char crash_left[160];

int crash_setup(void **state)
{
    (void)state;
    kit_folder(crash_dir);
    (void)snprintf(crash_left, sizeof crash_left, "%s/left", crash_dir);
    crash_disk_install();
    return 0;
}

int crash_teardown(void **state)
{
    (void)state;
    kv_io_reset();
    crash_remove_folder(crash_left);
    kit_remove(crash_dir);
    return 0;
}
