// The members of a SKI body in the form that clients usually write, in one pass and without a copy: one object,
// members in any order, values that are strings of printable ASCII without escapes, or natural numbers (of members
// that SKI does not have), blanks wherever JSON has them, no member of SKI's twice.
//
// It reads or it passes on. What it reads is what ski_json.h gives for the same body (a fuzz target compares them);
// everything else, well-formed or not, is left to that reader.
#ifndef MEC_KEYSERVER_SKI_PLAIN_H
#define MEC_KEYSERVER_SKI_PLAIN_H

#include <stdbool.h>

#include "keyserver/ski_members.h"

// True: *members are slices of body. False: not in the usual form; nothing is said about the body. Any thread.
bool ski_plain_read(const char *body, size_t len, struct ski_members *members);

#endif
