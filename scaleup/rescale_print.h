// What the program rescale prints: tables for people, JSON for scripts. False: it could not be written (no memory, or the stream's error).
#ifndef MEC_SCALEUP_RESCALE_PRINT_H
#define MEC_SCALEUP_RESCALE_PRINT_H

#include <stdio.h>

#include "scaleup/rescale.h"

// "ks1: done: 1gb granted"
bool rescale_print_response(FILE *out, const char *vnf, const struct response *response);
// {"vnf":"ks1","id":"...","state":"done","final":true,"granted_bytes":1073741824,"granularity":2097152,"retry_ms":0,"detail":""}
bool rescale_print_response_json(FILE *out, const char *vnf, const struct response *response);

bool rescale_print_status(FILE *out, const struct message *status);
// As it came: PROTOCOL.md, "Operators".
bool rescale_print_status_json(FILE *out, const struct message *status);

#endif
