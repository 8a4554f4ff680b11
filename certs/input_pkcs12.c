// PKCS#12: a container of bags, each plain or encrypted, under a MAC. PKCS12_parse() gives one key only and
// hides what went wrong, so the bags are walked here.
#include <string.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>

#include "certs/input_parts.h"

#define MAX_NESTING 4

struct container {
    const struct input *in;
    const char *pass; // what the MAC was verified with; NULL and "" are two different passwords in PKCS#12
    int pass_len;
};

static void walk_bags(const struct container *c, const STACK_OF(PKCS12_SAFEBAG) * bags, unsigned depth);

static void cert_bag(const struct container *c, const PKCS12_SAFEBAG *bag)
{
    if (c->in->sink->cert == NULL)
        return;
    X509 *cert =
        PKCS12_SAFEBAG_get_bag_nid(bag) == NID_x509Certificate ? PKCS12_SAFEBAG_get1_cert(bag) : NULL;
    if (cert != NULL)
        c->in->sink->cert(c->in->sink->arg, cert);
    else
        input_fault_openssl(c->in, "damaged certificate in PKCS#12");
    X509_free(cert);
}

static void plain_key_bag(const struct container *c, const PKCS12_SAFEBAG *bag)
{
    const PKCS8_PRIV_KEY_INFO *p8 = PKCS12_SAFEBAG_get0_p8inf(bag);
    EVP_PKEY *key = p8 != NULL ? EVP_PKCS82PKEY(p8) : NULL;
    if (key != NULL)
        c->in->sink->key(c->in->sink->arg, key);
    else
        input_fault_openssl(c->in, "damaged private key in PKCS#12");
    EVP_PKEY_free(key);
}

static void walk_bag(const struct container *c, const PKCS12_SAFEBAG *bag, unsigned depth)
{
    bool keys = c->in->sink->key != NULL;
    switch (PKCS12_SAFEBAG_get_nid(bag)) {
    case NID_certBag:
        cert_bag(c, bag);
        break;
    case NID_keyBag:
        if (keys)
            plain_key_bag(c, bag);
        break;
    case NID_pkcs8ShroudedKeyBag:
        if (keys)
            input_decrypt_key(c->in, PKCS12_SAFEBAG_get0_pkcs8(bag), c->pass, c->pass_len);
        break;
    case NID_safeContentsBag:
        if (depth < MAX_NESTING)
            walk_bags(c, PKCS12_SAFEBAG_get0_safes(bag), depth + 1);
        else
            input_fault(c->in, "PKCS#12 bags nested too deep");
        break;
    default: // CRLs and application secrets
        break;
    }
}

static void walk_bags(const struct container *c, const STACK_OF(PKCS12_SAFEBAG) * bags, unsigned depth)
{
    for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags); i++)
        walk_bag(c, sk_PKCS12_SAFEBAG_value(bags, i), depth);
}

// One part of the container; NULL with the fault told when it does not open.
static STACK_OF(PKCS12_SAFEBAG) * open_part(const struct container *c, PKCS7 *part)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    if (PKCS7_type_is_data(part)) {
        bags = PKCS12_unpack_p7data(part);
        if (bags == NULL)
            input_fault_openssl(c->in, "damaged PKCS#12");
        return bags;
    }
    if (!PKCS7_type_is_encrypted(part) || part->d.encrypted == NULL || part->d.encrypted->enc_data == NULL) {
        input_fault(c->in, "PKCS#12 encrypted with a public key, expected a passphrase");
        return NULL;
    }
    if (!input_kdf_bearable(part->d.encrypted->enc_data->algorithm)) {
        input_fault(
            c->in,
            "PKCS#12 with an unreasonable number of key derivation rounds (expected at most 10000000)");
        return NULL;
    }
    bags = PKCS12_unpack_p7encdata(part, c->pass, c->pass_len);
    if (bags == NULL)
        input_fault_decrypt(c->in);
    return bags;
}

static void walk_parts(const struct container *c, const PKCS12 *p12)
{
    STACK_OF(PKCS7) *parts = PKCS12_unpack_authsafes(p12);
    if (parts == NULL) {
        input_fault_openssl(c->in, "damaged PKCS#12");
        return;
    }
    for (int i = 0; i < sk_PKCS7_num(parts); i++) {
        STACK_OF(PKCS12_SAFEBAG) *bags = open_part(c, sk_PKCS7_value(parts, i));
        walk_bags(c, bags, 0);
        sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    }
    sk_PKCS7_pop_free(parts, PKCS7_free);
}

static bool mac_bearable(const PKCS12 *p12)
{
    const ASN1_INTEGER *rounds = NULL;
    int64_t count = 0;
    PKCS12_get0_mac(NULL, NULL, NULL, &rounds, p12);
    return rounds == NULL || (ASN1_INTEGER_get_int64(&count, rounds) == 1 && count <= input_max_rounds);
}

// Finds the password under which the MAC holds: the one given, or else none, or else the empty one.
static bool choose_pass(struct container *c, PKCS12 *p12)
{
    const struct passphrase *given = c->in->passphrase;
    c->pass = given->text;
    c->pass_len = given->text != NULL ? (int)given->len : 0;
    if (!PKCS12_mac_present(p12))
        return true;
    if (!mac_bearable(p12)) {
        input_fault(c->in, "PKCS#12 with an unreasonable number of MAC rounds (expected at most 10000000)");
        return false;
    }
    if (PKCS12_verify_mac(p12, c->pass, c->pass_len) == 1)
        return true;
    bool none = given->text == NULL || given->len == 0;
    c->pass = given->text == NULL ? "" : NULL;
    c->pass_len = 0;
    if (none && PKCS12_verify_mac(p12, c->pass, 0) == 1)
        return true;
    if (given->text == NULL)
        input_fault(c->in, "encrypted, and no passphrase was given (--passphrase-file)");
    else
        input_fault_decrypt(c->in);
    return false;
}

void input_pkcs12(const struct input *in, const uint8_t *der, size_t len)
{
    const unsigned char *p = der;
    PKCS12 *p12 = d2i_PKCS12(NULL, &p, (long)len);
    struct container c = {.in = in};
    if (p12 == NULL)
        input_fault_openssl(in, "damaged PKCS#12");
    else if (choose_pass(&c, p12))
        walk_parts(&c, p12);
    PKCS12_free(p12);
    ERR_clear_error();
}
