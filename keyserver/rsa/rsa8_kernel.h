// Products of eight numbers at once, over the vector layer that was included before. Numbers are blocks of ten
// limbs; a product is summed up block diagonal by block diagonal in twenty accumulators that stay in registers.
//
// "Almost" Montgomery: operands and results are below 2 m instead of m, with limbs below 2^52. Bounds and why
// no accumulator overflows: DESIGN.md.
#ifndef MEC_KEYSERVER_RSA8_KERNEL_H
#define MEC_KEYSERVER_RSA8_KERNEL_H

#define SUM (2 * RSA8_BLOCK) // accumulators: the columns that a product of two blocks reaches

KERNEL void sum_clear(vec sum[SUM])
{
    UNROLL_SUM for (int i = 0; i < SUM; i++)
    {
        sum[i] = vec_set1(0);
    }
}

// On to the next diagonal: what overflowed into its columns comes down.
KERNEL void sum_next(vec sum[SUM])
{
    UNROLL_BLOCK for (int i = 0; i < RSA8_BLOCK; i++)
    {
        sum[i] = sum[i + RSA8_BLOCK];
        sum[i + RSA8_BLOCK] = vec_set1(0);
    }
}

KERNEL void sum_add(vec sum[SUM], const struct rsa8_limb *block)
{
    UNROLL_BLOCK for (int i = 0; i < RSA8_BLOCK; i++)
    {
        sum[i] = vec_add(sum[i], vec_load(block + i));
    }
}

// sum += a b
KERNEL void sum_product(vec sum[SUM], const struct rsa8_limb *a, const struct rsa8_limb *b)
{
    vec x[RSA8_BLOCK];
    UNROLL_BLOCK for (int i = 0; i < RSA8_BLOCK; i++)
    {
        x[i] = vec_load(a + i);
    }
    UNROLL_BLOCK for (int j = 0; j < RSA8_BLOCK; j++)
    {
        vec y = vec_load(b + j);
        UNROLL_BLOCK for (int i = 0; i < RSA8_BLOCK; i++)
        {
            sum[i + j] = vec_madd_lo(sum[i + j], x[i], y);
        }
        UNROLL_BLOCK for (int i = 0; i < RSA8_BLOCK; i++)
        {
            sum[i + j + 1] = vec_madd_hi(sum[i + j + 1], x[i], y);
        }
    }
}

// sum = 2 sum + a^2: what stands to either side of the square's diagonal is computed once and doubled.
KERNEL void sum_double_and_square(vec sum[SUM], const struct rsa8_limb *a)
{
    vec x[RSA8_BLOCK];
    UNROLL_BLOCK for (int i = 0; i < RSA8_BLOCK; i++)
    {
        x[i] = vec_load(a + i);
    }
    UNROLL_BLOCK for (int j = 0; j < RSA8_BLOCK; j++)
    {
        UNROLL_BLOCK for (int i = j + 1; i < RSA8_BLOCK; i++)
        {
            sum[i + j] = vec_madd_lo(sum[i + j], x[i], x[j]);
            sum[i + j + 1] = vec_madd_hi(sum[i + j + 1], x[i], x[j]);
        }
    }
    UNROLL_SUM for (int i = 0; i < SUM; i++)
    {
        sum[i] = vec_add(sum[i], sum[i]);
    }
    UNROLL_BLOCK for (int i = 0; i < RSA8_BLOCK; i++)
    {
        sum[2 * i] = vec_madd_lo(sum[2 * i], x[i], x[i]);
        sum[2 * i + 1] = vec_madd_hi(sum[2 * i + 1], x[i], x[i]);
    }
}

// The quotient's next block: q with sum + q m = 0 modulo 2^520; of that sum only what is carried beyond stays.
//
// Each limb of q waits for the one before, so the way from one to the next is kept short: what a column carries is known
// before its limb of q is, since the limb makes the column's low 52 bits 0 or, with what they are now, 2^52.
KERNEL void sum_cancel(vec sum[SUM], struct rsa8_limb *q, const struct rsa8_field *f)
{
    vec x[RSA8_BLOCK], limb_mask = vec_set1(RSA8_LIMB_MASK);
    UNROLL_BLOCK for (int i = 0; i < RSA8_BLOCK; i++)
    {
        x[i] = vec_load(f->m + i);
    }
    UNROLL_BLOCK for (int j = 0; j < RSA8_BLOCK; j++)
    {
        vec y = vec_madd_lo(vec_set1(0), sum[j], vec_load(&f->k0));
        vec carry = vec_madd_hi(vec_shift_limb(vec_add(sum[j], limb_mask)), x[0], y);
        sum[j + 1] = vec_add(vec_madd_lo(sum[j + 1], x[1], y), carry);
        vec_store(q + j, y);
        UNROLL_BLOCK for (int i = 2; i < RSA8_BLOCK; i++)
        {
            sum[i + j] = vec_madd_lo(sum[i + j], x[i], y);
        }
        UNROLL_BLOCK for (int i = 1; i < RSA8_BLOCK; i++)
        {
            sum[i + j + 1] = vec_madd_hi(sum[i + j + 1], x[i], y);
        }
    }
}

// The result's next block: the lower columns with their carries brought up.
KERNEL void sum_out(vec sum[SUM], struct rsa8_limb *r)
{
    vec limb_mask = vec_set1(RSA8_LIMB_MASK);
    UNROLL_BLOCK for (int i = 0; i < RSA8_BLOCK; i++)
    {
        vec_store(r + i, vec_and(sum[i], limb_mask));
        sum[i + 1] = vec_add(sum[i + 1], vec_shift_limb(sum[i]));
    }
}

// What Montgomery's reduction does with one diagonal of a number that is to be divided by R. scan: NULL, or a scan to
// take steps of.
KERNEL void sum_reduce(vec sum[SUM], struct rsa8_limb *r, const struct rsa8_field *f, struct rsa8_limb *q,
                       unsigned diagonal, struct table_scan *scan)
{
    unsigned first = diagonal < f->blocks ? 0 : diagonal - f->blocks + 1;
    unsigned end = diagonal < f->blocks ? diagonal : f->blocks;
    rsa8_test_registers(sum, SUM * sizeof *sum);
    for (unsigned i = first; i < end; i++) {
        sum_product(sum, f->m + RSA8_BLOCK * (diagonal - i), q + RSA8_BLOCK * i);
        if (scan != NULL)
            table_scan_step(scan);
    }
    if (diagonal < f->blocks)
        sum_cancel(sum, q + RSA8_BLOCK * diagonal, f);
    else
        sum_out(sum, r + RSA8_BLOCK * (diagonal - f->blocks));
    if (scan != NULL)
        table_scan_step(scan);
}

// r = a b / R mod m, below 2 m when a b < 2 m R. r may be a or b: its block d is written when block d of
// neither is needed any more. q: f->blocks blocks of working memory.
KERNEL_ENTRY void amm(struct rsa8_limb *r, const struct rsa8_limb *a, const struct rsa8_limb *b,
                      const struct rsa8_field *f, struct rsa8_limb *q)
{
    unsigned blocks = f->blocks;
    vec sum[SUM];
    sum_clear(sum);
    for (unsigned diagonal = 0; diagonal < 2 * blocks - 1; diagonal++) {
        unsigned first = diagonal < blocks ? 0 : diagonal - blocks + 1;
        for (unsigned i = first; i <= diagonal - first; i++)
            sum_product(sum, a + RSA8_BLOCK * i, b + RSA8_BLOCK * (diagonal - i));
        sum_reduce(sum, r, f, q, diagonal, NULL);
        sum_next(sum);
    }
    sum_out(sum, r + RSA8_BLOCK * (blocks - 1));
}

KERNEL void square(struct rsa8_limb *r, const struct rsa8_limb *a, const struct rsa8_field *f,
                   struct rsa8_limb *q, struct table_scan *scan)
{
    unsigned blocks = f->blocks;
    struct rsa8_limb carried[RSA8_BLOCK]; // what the diagonals before brought into the columns of this one
    vec sum[SUM];
    for (int i = 0; i < RSA8_BLOCK; i++)
        vec_store(carried + i, vec_set1(0));
    for (unsigned diagonal = 0; diagonal < 2 * blocks - 1; diagonal++) {
        sum_clear(sum);
        unsigned first = diagonal < blocks ? 0 : diagonal - blocks + 1;
        for (unsigned i = first; 2 * i < diagonal; i++)
            sum_product(sum, a + RSA8_BLOCK * i, a + RSA8_BLOCK * (diagonal - i));
        if (diagonal % 2 == 0) {
            sum_double_and_square(sum, a + RSA8_BLOCK * (diagonal / 2));
        } else {
            UNROLL_SUM for (int i = 0; i < SUM; i++)
            {
                sum[i] = vec_add(sum[i], sum[i]);
            }
        }
        sum_add(sum, carried);
        sum_reduce(sum, r, f, q, diagonal, scan);
        UNROLL_BLOCK for (int i = 0; i < RSA8_BLOCK; i++)
        {
            vec_store(carried + i, sum[i + RSA8_BLOCK]);
        }
    }
    sum_next(sum);
    sum_out(sum, r + RSA8_BLOCK * (blocks - 1));
}

// amm(r, a, a, f, q), cheaper.
KERNEL_ENTRY void ams(struct rsa8_limb *r, const struct rsa8_limb *a, const struct rsa8_field *f,
                      struct rsa8_limb *q)
{
    square(r, a, f, q, NULL);
}

// The same, with as many steps of a scan as there are diagonals and products of the reduction: five of them do all steps
// (16, 24, 32) of a table of 2, 3, 4 blocks.
KERNEL_ENTRY void ams_scan(struct rsa8_limb *r, const struct rsa8_limb *a, const struct rsa8_field *f,
                           struct rsa8_limb *q, struct table_scan *scan)
{
    square(r, a, f, q, scan);
}

// r = t / R mod m, below 2 m, for t of 2 blocks, t < m R.
KERNEL_ENTRY void reduce(struct rsa8_limb *r, const struct rsa8_limb *t, const struct rsa8_field *f,
                         struct rsa8_limb *q)
{
    unsigned blocks = f->blocks;
    vec sum[SUM];
    sum_clear(sum);
    for (unsigned diagonal = 0; diagonal < 2 * blocks - 1; diagonal++) {
        sum_add(sum, t + RSA8_BLOCK * diagonal);
        sum_reduce(sum, r, f, q, diagonal, NULL);
        sum_next(sum);
    }
    sum_add(sum, t + RSA8_BLOCK * (2 * blocks - 1));
    sum_out(sum, r + RSA8_BLOCK * (blocks - 1));
}

// r = a b of twice as many blocks; r is neither a nor b.
KERNEL_ENTRY void multiply(struct rsa8_limb *r, const struct rsa8_limb *a, const struct rsa8_limb *b,
                           unsigned blocks)
{
    vec sum[SUM];
    sum_clear(sum);
    for (unsigned diagonal = 0; diagonal < 2 * blocks - 1; diagonal++) {
        unsigned first = diagonal < blocks ? 0 : diagonal - blocks + 1;
        for (unsigned i = first; i <= diagonal - first; i++)
            sum_product(sum, a + RSA8_BLOCK * i, b + RSA8_BLOCK * (diagonal - i));
        rsa8_test_registers(sum, sizeof sum);
        sum_out(sum, r + RSA8_BLOCK * diagonal);
        sum_next(sum);
    }
    sum_out(sum, r + RSA8_BLOCK * (2 * blocks - 1));
}

// x mod m for x < 2 m; d: working memory of as many limbs.
KERNEL_ENTRY void subtract_once(struct rsa8_limb *x, const struct rsa8_field *f, struct rsa8_limb *d)
{
    unsigned limbs = RSA8_BLOCK * f->blocks;
    vec limb_mask = vec_set1(RSA8_LIMB_MASK), borrow = vec_set1(0);
    for (unsigned i = 0; i < limbs; i++) {
        vec t = vec_add(vec_sub(vec_load(x + i), vec_load(f->m + i)), borrow);
        vec_store(d + i, vec_and(t, limb_mask));
        borrow = vec_shift_limb_signed(t); // 0 or -1
    }
    vec_mask fits = vec_equal(borrow, vec_set1(0));
    for (unsigned i = 0; i < limbs; i++)
        vec_store(x + i, vec_select(fits, vec_load_whole(d + i), vec_load_whole(x + i)));
}

// Limbs that hold small sums and differences become limbs below 2^52; the number itself is not negative.
KERNEL_ENTRY void carry_up(struct rsa8_limb *x, unsigned limbs)
{
    vec limb_mask = vec_set1(RSA8_LIMB_MASK), carry = vec_set1(0);
    for (unsigned i = 0; i < limbs; i++) {
        vec t = vec_add(vec_load(x + i), carry);
        vec_store(x + i, vec_and(t, limb_mask));
        carry = vec_shift_limb_signed(t);
    }
}

#endif
