// RSA private keys in DER: what the strict reader takes OpenSSL takes as well, in full, finds the same numbers in it, and would write
// it just so.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "keyserver/rsa/rsa_der.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(int good)
{
    if (!good)
        abort();
}

static void same(const ASN1_TYPE *element, const struct rsa_number *number)
{
    must(element != NULL && element->type == V_ASN1_INTEGER);
    BIGNUM *theirs = ASN1_INTEGER_to_BN(element->value.integer, NULL);
    BIGNUM *ours = BN_bin2bn(number->bytes, (int)number->len, NULL);
    must(theirs != NULL && ours != NULL && BN_cmp(theirs, ours) == 0);
    must(number->len == (size_t)BN_num_bytes(ours));
    BN_free(theirs);
    BN_free(ours);
}

static void same_numbers(const unsigned char *private_key, int len, const struct rsa_der *k)
{
    const struct rsa_number *const numbers[] = {&k->n, &k->e, &k->d, &k->p, &k->q, &k->dp, &k->dq, &k->qinv};
    const unsigned char *p = private_key;
    ASN1_SEQUENCE_ANY *sequence = d2i_ASN1_SEQUENCE_ANY(NULL, &p, len);
    must(sequence != NULL && p == private_key + len && sk_ASN1_TYPE_num(sequence) == 9);
    same(sk_ASN1_TYPE_value(sequence, 0), &(const struct rsa_number){NULL, 0});
    for (int i = 0; i < 8; i++)
        same(sk_ASN1_TYPE_value(sequence, i + 1), numbers[i]);
    sk_ASN1_TYPE_pop_free(sequence, ASN1_TYPE_free);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct rsa_der key;
    if (rsa_der_read(data, len, &key) != NULL)
        return 0;
    const unsigned char *p = data, *private_key = NULL;
    const ASN1_OBJECT *algorithm = NULL;
    unsigned char *again = NULL;
    int private_len = 0;
    PKCS8_PRIV_KEY_INFO *p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)len);
    must(p8 != NULL && p == data + len);
    must(PKCS8_pkey_get0(&algorithm, &private_key, &private_len, NULL, p8) == 1);
    must(OBJ_obj2nid(algorithm) == NID_rsaEncryption);
    same_numbers(private_key, private_len, &key);
    must(i2d_PKCS8_PRIV_KEY_INFO(p8, &again) == (int)len && memcmp(again, data, len) == 0);
    OPENSSL_free(again);
    PKCS8_PRIV_KEY_INFO_free(p8);
    ERR_clear_error();
    return 0;
}
