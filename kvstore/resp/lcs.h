// The longest common subsequence of two strings, and where its runs lie in them. Of all that are equally long it is the one that Redis's LCS gives.
//
// Memory: two rows of lengths, 4 bytes for each byte of b, and one bit for each pair of bytes. Time: length of a x length of b.
#ifndef MEC_KVSTORE_RESP_LCS_H
#define MEC_KVSTORE_RESP_LCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resp_lcs {
    const uint8_t *a, *b; // not owned
    size_t a_len, b_len;
    uint32_t length; // of the subsequence
    // Where the way back through the table goes when two bytes differ, a bit for each pair: 1 to the byte before in a, 0 to the one before in b. NULL: the length alone.
    uint8_t *turns;
};

// Strings of less than 4 GiB. way: also what resp_lcs_runs() needs. False: no memory.
bool resp_lcs_init(struct resp_lcs *lcs, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
                   bool way);
void resp_lcs_deinit(struct resp_lcs *lcs);

// The runs of bytes that follow each other in both strings, the last one first.
typedef void (*resp_lcs_fn)(void *arg, size_t at_a, size_t at_b, size_t len);
void resp_lcs_runs(const struct resp_lcs *lcs, resp_lcs_fn fn, void *arg);

#endif
