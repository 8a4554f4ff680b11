// Selecting from a table of powers by a secret digit, over the vector layer that was included before. All entries are read
// whole and in the same order, whatever the digits.
//
// The table is larger than the first-level cache, and reading it leaves the multiplier idle. So a scan is cut into small steps, which
// squarings take between their products: processors then do both at once.
#ifndef MEC_KEYSERVER_RSA8_TABLE_H
#define MEC_KEYSERVER_RSA8_TABLE_H

#define KERNEL static inline __attribute__((always_inline))
// Called often enough, large enough: one copy in each implementation.
#define KERNEL_ENTRY static __attribute__((noinline))

#define TABLE_GROUP  4 // entries of a step, for one block of limbs
#define TABLE_GROUPS (RSA8_ENTRIES / TABLE_GROUP)

struct table_scan {
    const struct rsa8_limb *table; // RSA8_ENTRIES entries of `limbs` limbs
    struct rsa8_limb *got;         // in each lane the entry of that lane's digit, once all steps are done
    vec digit;
    unsigned limbs;
    unsigned block, group; // of the next step; block == limbs: all are done
};

static void table_scan_begin(struct table_scan *scan, vec digit)
{
    scan->digit = digit;
    scan->block = scan->group = 0;
    for (unsigned i = 0; i < scan->limbs; i++)
        vec_store(scan->got + i, vec_set1(0));
}

// One vector at a time, so that a squaring's accumulators can stay in their registers.
KERNEL void table_scan_step(struct table_scan *scan)
{
    if (scan->block == scan->limbs)
        return;
    unsigned first = TABLE_GROUP * scan->group;
    const struct rsa8_limb *entry = scan->table + first * scan->limbs + scan->block;
    struct rsa8_limb *got = scan->got + scan->block;
    vec_mask wanted[TABLE_GROUP];
    UNROLL_BLOCK for (unsigned e = 0; e < TABLE_GROUP; e++)
    {
        wanted[e] = vec_equal(scan->digit, vec_set1(first + e));
    }
    UNROLL_BLOCK for (int i = 0; i < RSA8_BLOCK; i++)
    {
        vec v = vec_load(got + i);
        UNROLL_BLOCK for (unsigned e = 0; e < TABLE_GROUP; e++)
        {
            v = vec_select(wanted[e], vec_load_whole(entry + e * scan->limbs + (unsigned)i), v);
        }
        vec_store(got + i, v);
    }
    if (++scan->group == TABLE_GROUPS) {
        scan->group = 0;
        scan->block += RSA8_BLOCK;
    }
}

// The steps that are left, if any.
static void table_scan_finish(struct table_scan *scan)
{
    while (scan->block < scan->limbs)
        table_scan_step(scan);
}

#endif
