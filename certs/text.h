// Text that goes out: to a terminal without control characters, as JSON always in valid UTF-8. One thread.
#ifndef MEC_CERTS_TEXT_H
#define MEC_CERTS_TEXT_H

#include <stdio.h>
#include <jansson.h>

#include "common/keyrecord.h"

#define TEXT_PATH_LEN 1024

// A path or name as it may be printed: control characters replaced by '?', cut to fit; returns buf.
char *text_printable(const char *text, char buf[static TEXT_PATH_LEN]);

// A JSON string of any bytes: what is no UTF-8 becomes '?'. NULL only without memory.
json_t *text_json(const char *text);

// Writes one JSON value on a line of its own and drops it. A NULL value (no memory) is an error on the
// stream's side: false, as for a failed write.
_Bool text_json_line(FILE *out, json_t *value);

// {"spki", "type", "bits", "sealed", "encoding", "imported", "certificates": [...]}: the public part of a record.
json_t *text_json_info(const char *name, const struct keyrecord_info *info);

const char *text_encoding(enum keyrecord_encoding encoding); // "pkcs8", "compact"
// "RSA-2048", "P-256"; returns buf.
char *text_kind(const struct keyrecord_info *info, char buf[static 16]);
// The latest notAfter of a record's certificates, 0 when it has none.
uint64_t text_latest(const struct keyrecord_info *info);

#endif
