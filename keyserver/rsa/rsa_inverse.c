#include "keyserver/rsa/rsa_inverse.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <openssl/crypto.h>

__extension__ typedef __int128 wide;

#define STEPS      62 // of a batch, and bits of a limb
#define LIMB_MASK  (((uint64_t)1 << STEPS) - 1)
#define HEAD_BITS  10 // d and e reach 2^9 times the modulus at most: see make_positive()
#define MOST_BYTES 2048

// Signed numbers of `count` limbs: each of the lower ones is 0 to 2^62 - 1, the highest has the sign.
struct work {
    size_t count, bytes; // bytes: of the longer of modulus and number
    int64_t *modulus, *f, *g, *d, *e;
    uint64_t modulus_inverse; // of -modulus, modulo 2^62
    uint8_t *scratch;         // `room` bytes
    size_t room;
    void *block;
    size_t block_len;
};

// What a batch of steps does: f becomes (u f + v g) / 2^62 and g becomes (q f + r g) / 2^62; |u| + |v| and |q| + |r| are at most 2^62.
struct matrix {
    int64_t u, v, q, r;
};

// ---- a batch

static int64_t run_steps(int64_t delta, uint64_t f, uint64_t g, struct matrix *m)
{
    uint64_t u = 1, v = 0, q = 0,
             r = 1; // unsigned: signed numbers may not be shifted to the left when negative
    for (int i = 0; i < STEPS; i++) {
        uint64_t odd = 0 - (g & 1);
        uint64_t swap = odd & (uint64_t)(-delta >> 63); // all ones when delta > 0 and g is odd
        // g +- f, with minus when they change places; then f + (g - f) = g.
        g += ((f ^ swap) - swap) & odd;
        q += ((u ^ swap) - swap) & odd;
        r += ((v ^ swap) - swap) & odd;
        f += g & swap;
        u += q & swap;
        v += r & swap;
        delta = (int64_t)(((uint64_t)delta ^ swap) - swap) + 1;
        g >>= 1;
        u <<= 1;
        v <<= 1;
    }
    *m = (struct matrix){(int64_t)u, (int64_t)v, (int64_t)q, (int64_t)r};
    return delta;
}

// f and g: the sums are multiples of 2^62, and dropping the lowest limb divides by it. A sum of two products is at most 2^124, a carry 2^63.
static void apply_to_fg(struct work *w, const struct matrix *m)
{
    wide cf = (wide)m->u * w->f[0] + (wide)m->v * w->g[0];
    wide cg = (wide)m->q * w->f[0] + (wide)m->r * w->g[0];
    cf >>= STEPS;
    cg >>= STEPS;
    for (size_t i = 1; i < w->count; i++) {
        const int64_t f = w->f[i], g = w->g[i];
        cf += (wide)m->u * f + (wide)m->v * g;
        cg += (wide)m->q * f + (wide)m->r * g;
        w->f[i - 1] = (int64_t)((uint64_t)cf & LIMB_MASK);
        w->g[i - 1] = (int64_t)((uint64_t)cg & LIMB_MASK);
        cf >>= STEPS;
        cg >>= STEPS;
    }
    w->f[w->count - 1] = (int64_t)cf;
    w->g[w->count - 1] = (int64_t)cg;
}

// d and e: as f and g, with the multiple of the modulus added that makes the sum divisible. The multiple is -2^61 to 2^61 - 1, so that d and e grow by half
// the modulus with each batch at most. A sum of three products is below 2^125.
static int64_t multiple(const struct work *w, wide sum)
{
    uint64_t low = (uint64_t)sum * w->modulus_inverse << 2;
    return (int64_t)low >> 2;
}

static void apply_to_de(struct work *w, const struct matrix *m)
{
    wide cd = (wide)m->u * w->d[0] + (wide)m->v * w->e[0];
    wide ce = (wide)m->q * w->d[0] + (wide)m->r * w->e[0];
    const int64_t md = multiple(w, cd), me = multiple(w, ce);
    cd = (cd + (wide)md * w->modulus[0]) >> STEPS;
    ce = (ce + (wide)me * w->modulus[0]) >> STEPS;
    for (size_t i = 1; i < w->count; i++) {
        const int64_t d = w->d[i], e = w->e[i], p = w->modulus[i];
        cd += (wide)m->u * d + (wide)m->v * e + (wide)md * p;
        ce += (wide)m->q * d + (wide)m->r * e + (wide)me * p;
        w->d[i - 1] = (int64_t)((uint64_t)cd & LIMB_MASK);
        w->e[i - 1] = (int64_t)((uint64_t)ce & LIMB_MASK);
        cd >>= STEPS;
        ce >>= STEPS;
    }
    w->d[w->count - 1] = (int64_t)cd;
    w->e[w->count - 1] = (int64_t)ce;
}

// ---- numbers in and out

static void load(const struct work *w, int64_t *to, const uint8_t *bytes)
{
    memset(to, 0, w->count * sizeof *to);
    for (size_t bit = 0; bit < 8 * w->bytes;
         bit += 2) // two bits at a time: they never lie across a border of limbs
        to[bit / STEPS] |= (int64_t)(bytes[bit / 8] >> bit % 8 & 3) << bit % STEPS;
}

static void store(const struct work *w, const int64_t *from, uint8_t *bytes)
{
    memset(bytes, 0, w->room);
    for (size_t bit = 0; bit < w->count * STEPS; bit += 2)
        bytes[bit / 8] =
            (uint8_t)(bytes[bit / 8] | (uint8_t)((from[bit / STEPS] >> bit % STEPS & 3) << bit % 8));
}

// Newton's method: each round doubles the bits that are right, of which the first guess has three.
static uint64_t negative_inverse(uint64_t odd)
{
    uint64_t inverse = odd;
    for (int i = 0; i < 5; i++)
        inverse *= 2 - odd * inverse;
    return 0 - inverse;
}

// The sign of f times d, plus 2^9 times the modulus: positive. 8 * 2048 bits take 765 batches, so that |d| stays under 384 times the modulus.
static void make_positive(struct work *w)
{
    const uint64_t negative = (uint64_t)(w->f[w->count - 1] >> 63);
    wide carry = 0;
    for (size_t i = 0; i < w->count; i++) {
        carry += (wide)(int64_t)(((uint64_t)w->d[i] ^ negative) - negative) + ((wide)w->modulus[i] << 9);
        w->d[i] = (int64_t)((uint64_t)carry & LIMB_MASK);
        carry >>= STEPS;
    }
}

// Whether g is 0 and f is 1 or -1.
static bool is_coprime(const struct work *w)
{
    const uint64_t negative = (uint64_t)(w->f[w->count - 1] >> 63);
    uint64_t rest = 0;
    wide carry = 0;
    for (size_t i = 0; i < w->count; i++) {
        carry += (int64_t)(((uint64_t)w->f[i] ^ negative) - negative);
        rest |= (uint64_t)w->g[i] | (((uint64_t)carry & LIMB_MASK) ^ (i == 0));
        carry >>= STEPS;
    }
    return rest == 0;
}

static bool begin(struct work *w, const BIGNUM *number, const BIGNUM *modulus)
{
    int number_bytes = BN_num_bytes(number), modulus_bytes = BN_num_bytes(modulus);
    w->bytes = (size_t)(number_bytes > modulus_bytes ? number_bytes : modulus_bytes);
    if (w->bytes > MOST_BYTES)
        return false;
    w->count = (8 * w->bytes + HEAD_BITS) / STEPS + 1; // with a bit for the sign at least
    w->room = w->count * 8;
    w->block_len = 5 * w->count * sizeof(int64_t) + w->room;
    w->block = OPENSSL_secure_zalloc(w->block_len);
    if (w->block == NULL)
        return false;
    w->modulus = w->block;
    w->f = w->modulus + w->count;
    w->g = w->f + w->count;
    w->d = w->g + w->count;
    w->e = w->d + w->count;
    w->scratch = (uint8_t *)(w->e + w->count);
    bool ok = BN_bn2lebinpad(modulus, w->scratch, (int)w->bytes) >= 0;
    load(w, w->modulus, w->scratch);
    load(w, w->f, w->scratch);
    ok = BN_bn2lebinpad(number, w->scratch, (int)w->bytes) >= 0 && ok;
    load(w, w->g, w->scratch);
    w->e[0] = 1;
    w->modulus_inverse = negative_inverse((uint64_t)w->modulus[0]);
    return ok;
}

static size_t batches(size_t bits)
{
    size_t steps = (49 * bits + (bits < 46 ? 80 : 57)) / 17;
    return (steps + STEPS - 1) /
           STEPS; // more steps than needed change nothing but the sign of delta's course: g stays 0
}

enum rsa_inverse_status rsa_inverse(BIGNUM *out, const BIGNUM *number, const BIGNUM *modulus, BN_CTX *ctx)
{
    struct work w = {.block = NULL};
    enum rsa_inverse_status status = RSA_INVERSE_NO_MEMORY;
    if (begin(&w, number, modulus)) {
        int64_t delta = 1;
        struct matrix m = {0, 0, 0, 0};
        for (size_t i = batches(8 * w.bytes); i > 0; i--) {
            // Of the low 64 bits of a number the lowest 62 decide; the limb has just these.
            delta = run_steps(delta, (uint64_t)w.f[0], (uint64_t)w.g[0], &m);
            apply_to_de(&w, &m);
            apply_to_fg(&w, &m);
        }
        OPENSSL_cleanse(&m, sizeof m);
        status = RSA_INVERSE_NONE;
        if (is_coprime(&w)) {
            make_positive(&w);
            store(&w, w.d, w.scratch);
            bool ok = BN_lebin2bn(w.scratch, (int)w.room, out) != NULL && BN_mod(out, out, modulus, ctx) == 1;
            status = ok ? RSA_INVERSE_OK : RSA_INVERSE_NO_MEMORY;
        }
    }
    OPENSSL_secure_clear_free(w.block, w.block_len);
    return status;
}
