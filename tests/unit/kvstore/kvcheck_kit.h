// Checking and repairing the small store.
#ifndef KVCHECK_KIT_H
#define KVCHECK_KIT_H

#include "kvstore/kvcheck.h"
#include "small_kit.h"

void kvcheck_look(struct check *check, const char *where);
unsigned kvcheck_count(const struct check *check, enum check_kind kind);
// Repairs, and checks once more: all is sound then.
void kvcheck_repair(const char *where);
// Opens; every value that is there is the right one. Returns how many keys are not as expected.
unsigned kvcheck_affected(const char *where);

#endif
