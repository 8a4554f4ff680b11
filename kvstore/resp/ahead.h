// What a pipeline is about to ask for: the keys of the commands that have come but have not been run, so that the store can have them near (kv_expect()).
//
// A guess, for speed alone: the first argument of any command is taken for a key, and whatever is not a small array of small bulk strings ends the look ahead. What is a
// command, and what its keys are, the parser and the command table say.
#ifndef MEC_KVSTORE_RESP_AHEAD_H
#define MEC_KVSTORE_RESP_AHEAD_H

#include "kvstore/resp/session.h"

// The first arguments of the whole commands at `bytes`, at most `most`; those of commands without one are left out. *commands: how many commands were looked at. Pure.
size_t resp_ahead_keys(const uint8_t *bytes, size_t len, struct resp_arg *keys, size_t most,
                       size_t *commands);

// Has the keys of the next commands at `bytes` near. Returns for how many commands from there on, the first included, it need not be asked again: at
// least 1.
size_t resp_ahead(const struct resp_session *session, const uint8_t *bytes, size_t len);

#endif
