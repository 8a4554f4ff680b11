// A set of names by their hashes, each with one bit: what is counted while keys are being counted anew, when the same key may be met by the scan and by writers in any
// order. 64 bits of a keyed hash stand for a name: two names are taken for one with odds below names^2 / 2^64.
//
// One owner at a time.
#ifndef MEC_KVSTORE_RESP_DB_SET_H
#define MEC_KVSTORE_RESP_DB_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resp_db_set { // zeroed: empty
    uint64_t *slots; // 0: free; the lowest bit is the name's
    size_t capacity, count;
};

enum resp_db_member { RESP_DB_ABSENT, RESP_DB_PRESENT, RESP_DB_MARKED };

void resp_db_set_deinit(struct resp_db_set *set);
// Enters a name, or changes its bit. *was is what it was before. False: no memory, unchanged.
bool resp_db_set_put(struct resp_db_set *set, uint64_t hash, bool marked, enum resp_db_member *was);
// Returns what it was.
enum resp_db_member resp_db_set_remove(struct resp_db_set *set, uint64_t hash);

#endif
