#include "kvstore/resp/lcs.h"

#include <stdlib.h>

// One row of the table in place of the last: row[j] is the length for the first i bytes of a and j of b.
static void next_row(struct resp_lcs *lcs, uint32_t *row, size_t i)
{
    uint32_t corner = 0; // the last row's length for j - 1 bytes
    uint8_t byte = lcs->a[i];
    uint64_t bit = (uint64_t)i * lcs->b_len;
    for (size_t j = 0; j < lcs->b_len; j++, bit++) {
        uint32_t above = row[j + 1], before = row[j];
        if (byte == lcs->b[j]) {
            row[j + 1] = corner + 1;
        } else if (above > before) {
            if (lcs->turns != NULL)
                lcs->turns[bit / 8] |= (uint8_t)(1u << (bit & 7));
        } else {
            row[j + 1] = before;
        }
        corner = above;
    }
}

bool resp_lcs_init(struct resp_lcs *lcs, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
                   bool way)
{
    *lcs = (struct resp_lcs){.a = a, .b = b, .a_len = a_len, .b_len = b_len};
    if (a_len == 0 || b_len == 0)
        return true;
    uint32_t *row = calloc(b_len + 1, sizeof *row);
    if (way)
        lcs->turns = calloc((uint64_t)a_len * b_len / 8 + 1, 1);
    if (row == NULL || (way && lcs->turns == NULL)) {
        free(row);
        resp_lcs_deinit(lcs);
        return false;
    }
    for (size_t i = 0; i < a_len; i++)
        next_row(lcs, row, i);
    lcs->length = row[b_len];
    free(row);
    return true;
}

void resp_lcs_deinit(struct resp_lcs *lcs)
{
    free(lcs->turns);
    lcs->turns = NULL;
}

void resp_lcs_runs(const struct resp_lcs *lcs, resp_lcs_fn fn, void *arg)
{
    size_t i = lcs->a_len, j = lcs->b_len;
    while (i != 0 && j != 0) {
        size_t run = 0;
        for (; i != 0 && j != 0 && lcs->a[i - 1] == lcs->b[j - 1]; i--, j--)
            run++;
        if (run != 0) {
            fn(arg, i, j, run);
            continue;
        }
        uint64_t bit = (uint64_t)(i - 1) * lcs->b_len + (j - 1);
        if ((lcs->turns[bit / 8] >> (bit & 7) & 1) != 0)
            i--;
        else
            j--;
    }
}
