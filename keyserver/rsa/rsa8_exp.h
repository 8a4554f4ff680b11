// Powers of eight numbers modulo eight moduli, over the kernels that were included before.
#ifndef MEC_KEYSERVER_RSA8_EXP_H
#define MEC_KEYSERVER_RSA8_EXP_H

// r = 1 in Montgomery's form.
static void field_one(struct rsa8_scratch *s, struct rsa8_field *f)
{
    amm(f->one, f->r2, s->unit.limb, f, s->quotient.limb);
}

// The exponents' digits of RSA8_WINDOW bits from bit `from` on; `from` is public, so the limbs looked at are too.
static vec digits(const struct rsa8_limb *exponent, unsigned limbs, unsigned from)
{
    unsigned i = from / RSA8_LIMB_BITS, shift = from % RSA8_LIMB_BITS;
    struct rsa8_limb r;
    for (int l = 0; l < RSA8_LANES; l++) {
        uint64_t low = exponent[i].lane[l] >> shift;
        uint64_t high = i + 1 < limbs ? exponent[i + 1].lane[l] << (RSA8_LIMB_BITS - shift) : 0;
        r.lane[l] = (low | high) & (RSA8_ENTRIES - 1);
    }
    return vec_load(&r);
}

// r = x^exponent for secret exponents of s->half_bits bits: five squarings and one product for each digit of the
// longest exponent there can be, also for leading zeros (a product by 1). x, r in Montgomery's form, below 2 m;
// r is not x.
static void power_secret(struct rsa8_scratch *s, struct rsa8_limb *r, const struct rsa8_limb *x,
                         const struct rsa8_limb *exponent, const struct rsa8_field *f)
{
    unsigned limbs = s->half, windows = (s->half_bits + RSA8_WINDOW - 1) / RSA8_WINDOW;
    struct rsa8_limb *table = s->table, *quotient = s->quotient.limb;
    memcpy(table, f->one, limbs * sizeof *table);
    memcpy(table + limbs, x, limbs * sizeof *table);
    for (unsigned e = 2; e < RSA8_ENTRIES; e++) {
        if (e % 2 == 0)
            ams(table + e * limbs, table + e / 2 * limbs, f, quotient);
        else
            amm(table + e * limbs, table + (e - 1) * limbs, x, f, quotient);
    }
    rsa8_test_step(RSA8_STEP_TABLE, s);

    struct table_scan scan = {.table = table, .got = s->u.limb, .limbs = limbs};
    table_scan_begin(&scan, digits(exponent, limbs, RSA8_WINDOW * (windows - 1)));
    table_scan_finish(&scan);
    memcpy(r, scan.got, limbs * sizeof *r);
    for (unsigned w = windows - 1; w-- > 0;) {
        table_scan_begin(&scan, digits(exponent, limbs, RSA8_WINDOW * w));
        for (int i = 0; i < RSA8_WINDOW; i++)
            ams_scan(r, r, f, quotient, &scan);
        table_scan_finish(&scan);
        amm(r, r, scan.got, f, quotient);
        rsa8_test_step(RSA8_STEP_WINDOW, s);
    }
}

// r = x^(e - less) modulo n for the public exponents e, which may differ from lane to lane: the loop is that of
// the longest. less: 0 or 1, e is odd. x, r in Montgomery's form, below 2 n; r is neither x nor s->t.
static void power_public(struct rsa8_scratch *s, struct rsa8_limb *r, const struct rsa8_limb *x,
                         unsigned less)
{
    unsigned limbs = 2 * s->half;
    struct rsa8_limb *t = s->t.limb, *quotient = s->quotient.limb;
    unsigned bit = RSA8_LIMB_BITS;
    while (s->e_any >> (bit - 1) == 0)
        bit--;
    memcpy(r, s->n.one, limbs * sizeof *r);
    while (bit-- > less) {
        ams(r, r, &s->n, quotient);
        if ((s->e_any >> bit & 1) == 0)
            continue;
        amm(t, r, x, &s->n, quotient);
        vec_mask keep = vec_equal(vec_and(vec_load(&s->e), vec_set1(UINT64_C(1) << bit)), vec_set1(0));
        for (unsigned i = 0; i < limbs; i++)
            vec_store(r + i, vec_select(keep, vec_load(r + i), vec_load(t + i)));
    }
    if (less > 0) // e - 1 is e with its last bit 0
        ams(r, r, &s->n, quotient);
}

#endif
