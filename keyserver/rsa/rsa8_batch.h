// One batch, over the powers that were included before: from s->c (inputs below n) to s->m and s->again.
// DESIGN.md, "The operation", has the same steps as formulas.
#ifndef MEC_KEYSERVER_RSA8_BATCH_H
#define MEC_KEYSERVER_RSA8_BATCH_H

// x = c r^e, to be raised to d - 1, and unblind = c r^(e-1), by which that power has to be multiplied:
// x^(d-1) c r^(e-1) = c^d r^(e(d-1)+e-1) = c^d r^(ed-1) = c^d. So there is nothing to invert.
static void blind(struct rsa8_scratch *s)
{
    struct rsa8_limb *quotient = s->quotient.limb, *u = s->u.limb;
    // any limbs are a number of Montgomery's form: r is uniform to within 2^-32
    amm(s->r.limb, s->random.limb, s->n.r2, &s->n, quotient);
    power_public(s, s->unblind.limb, s->r.limb, 1);      // r^(e-1)
    amm(u, s->unblind.limb, s->r.limb, &s->n, quotient); // r^e
    amm(s->x.limb, s->c.limb, u, &s->n, quotient);
    amm(s->unblind.limb, s->c.limb, s->unblind.limb, &s->n, quotient);
    rsa8_test_step(RSA8_STEP_BLINDED, s);
}

// r = x^exponent modulo the prime of f, below it.
static void half(struct rsa8_scratch *s, struct rsa8_limb *r, const struct rsa8_limb *exponent,
                 struct rsa8_field *f)
{
    struct rsa8_limb *quotient = s->quotient.limb, *base = s->t.limb;
    reduce(base, s->x.limb, f, quotient);  // x / R
    amm(base, base, f->r2, f, quotient);   // x
    amm(base, base, f->r2, f, quotient);   // x R
    power_secret(s, r, base, exponent, f); // x^exponent R
    amm(r, r, s->unit.limb, f, quotient);
    subtract_once(r, f, s->u.limb);
}

// t = sq + q ((sp - sq) / q mod p): the number below n that is sp modulo p and sq modulo q.
static void recombine(struct rsa8_scratch *s)
{
    struct rsa8_limb *t = s->t.limb, *h = s->u.limb, *quotient = s->quotient.limb;
    for (unsigned i = 0; i < s->half; i++) {
        vec p = vec_load(s->p.m + i);
        vec difference = vec_sub(vec_load(s->sp.limb + i), vec_load(s->sq.limb + i));
        vec_store(h + i, vec_add(difference, vec_add(p, p))); // q < 2 p, so that the whole is not negative
    }
    carry_up(h, s->half);
    amm(h, h, s->qinv.limb, &s->p, quotient);
    subtract_once(h, &s->p, t);
    multiply(t, h, s->q.m, s->q.blocks);
    for (unsigned i = 0; i < s->half; i++)
        vec_store(t + i, vec_add(vec_load(t + i), vec_load(s->sq.limb + i)));
    carry_up(t, 2 * s->half);
    rsa8_test_step(RSA8_STEP_RECOMBINED, s);
}

// m = t unblind mod n
static void unblind(struct rsa8_scratch *s)
{
    struct rsa8_limb *quotient = s->quotient.limb, *m = s->m.limb;
    amm(m, s->t.limb, s->unblind.limb, &s->n, quotient);
    amm(m, m, s->n.r2, &s->n, quotient);
    subtract_once(m, &s->n, s->u.limb);
    rsa8_test_step(RSA8_STEP_RESULT, s);
}

// again = m^e mod n. Last, what was raised to e is computed from m once more, and the difference (0) added: so m is what was
// checked, also if it changed in memory meanwhile.
static void encrypt_again(struct rsa8_scratch *s)
{
    struct rsa8_limb *quotient = s->quotient.limb, *again = s->again.limb, *x = s->x.limb, *t = s->t.limb;
    amm(x, s->m.limb, s->n.r2, &s->n, quotient);
    power_public(s, again, x, 0);
    amm(again, again, s->unit.limb, &s->n, quotient);
    subtract_once(again, &s->n, t);
    rsa8_test_step(RSA8_STEP_AGAIN, s);
    amm(t, s->m.limb, s->n.r2, &s->n, quotient);
    for (unsigned i = 0; i < 2 * s->half; i++)
        vec_store(again + i, vec_add(vec_load(again + i), vec_sub(vec_load(t + i), vec_load(x + i))));
}

void RSA8_COMPUTE(struct rsa8_scratch *s)
{
    for (unsigned i = 0; i < 2 * s->half; i++) {
        vec_store(s->unit.limb + i, vec_set1(i == 0));
        vec_store(s->random.limb + i, vec_and(vec_load(s->random.limb + i), vec_set1(RSA8_LIMB_MASK)));
    }
    field_one(s, &s->p);
    field_one(s, &s->q);
    field_one(s, &s->n);
    rsa8_test_step(RSA8_STEP_LOADED, s);
    blind(s);
    half(s, s->sp.limb, s->dp1.limb, &s->p);
    half(s, s->sq.limb, s->dq1.limb, &s->q);
    rsa8_test_step(RSA8_STEP_POWERS, s);
    recombine(s);
    unblind(s);
    encrypt_again(s);
}

#endif
