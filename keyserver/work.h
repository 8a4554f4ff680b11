// What a crypto thread does with a batch of operations: find the key, compute, hand each back to its loop.
#ifndef MEC_KEYSERVER_WORK_H
#define MEC_KEYSERVER_WORK_H

#include <stddef.h>

#include "keyserver/keyop.h"

// arg: the struct keyring. Any thread. An operation past its deadline is not started: SKI_BUSY.
void work_run(void *arg, struct keyop **ops, size_t count);

#endif
