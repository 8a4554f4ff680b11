// The members of a SKI body in any form that JSON has (RFC 8259): escapes, nested values, duplicates (the last one
// counts). Allocates; what clients usually write is read by ski_plain.h before.
#ifndef MEC_KEYSERVER_SKI_JSON_H
#define MEC_KEYSERVER_SKI_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "keyserver/ski_members.h"

// False: no JSON object, or a member of SKI's that is no string or empty. *json owns what *members points into; the
// caller releases it by json_decref() in either case (NULL is fine there). Any thread.
bool ski_json_read(const char *body, size_t len, struct ski_members *members, json_t **json);

#endif
