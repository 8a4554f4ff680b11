// `keyserver --explain EDGE KEY METHOD [PROTOCOL [ADDRESS]]`: what the access policy says to a request, and why.
#ifndef MEC_KEYSERVER_ACCESS_EXPLAIN_H
#define MEC_KEYSERVER_ACCESS_EXPLAIN_H

#include <stdio.h>

#include "common/config.h"
#include "common/report.h"
#include "keyserver/options.h"

// Loads the policy, looks the key up in the store (through the control socket of a server that has it open), and prints
// one line: `allow: FILE:LINE: the rule` or `deny (reason): ...`. EXIT_DONE: allowed; EXIT_FAILED: denied; EXIT_USAGE: a
// word is wrong, or a file or the store cannot be read, and *e says so.
int access_explain(const struct options *options, const struct config_list *words, FILE *out,
                   struct error *e);

#endif
