// What COMMAND says of a command beyond its table's row: key specifications, flags and ACL categories, as words.
#ifndef MEC_KVSTORE_RESP_KEYSPEC_H
#define MEC_KVSTORE_RESP_KEYSPEC_H

#include "kvstore/resp/command.h"

#define RESP_KEY_SPECS 2u
#define RESP_WORDS_MAX 24u

struct resp_key_spec {
    const char *notes;     // NULL: none
    const char *flags;     // words, parted by blanks: "RW access update"
    int first, last, step; // last: relative to first; negative: from the end
};

// Returns how many.
size_t resp_key_specs(const struct resp_command *command, const struct resp_command *parent,
                      struct resp_key_spec specs[static RESP_KEY_SPECS]);
// Words in the order of Redis. Return how many.
size_t resp_flag_words(const struct resp_command *command, const char *words[static RESP_WORDS_MAX]);
// With the "@".
size_t resp_category_words(const struct resp_command *command, const struct resp_command *parent,
                           const char *words[static RESP_WORDS_MAX]);
bool resp_category_has(const struct resp_command *command, const struct resp_command *parent,
                       const struct resp_arg *category); // without the "@", any case
// All categories there are, ours or not; NULL behind the last. Without the "@".
extern const char *const resp_categories[];

#endif
