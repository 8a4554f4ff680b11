// EC private keys in DER: of what the strict reader takes OpenSSL's decoder makes the same key, with the same name, where a key can be made of it.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>

#include "common/keyrecord_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(int good)
{
    if (!good)
        abort();
}

static void same_number(EVP_PKEY *a, EVP_PKEY *b)
{
    BIGNUM *x = NULL, *y = NULL;
    must(EVP_PKEY_get_bn_param(a, OSSL_PKEY_PARAM_PRIV_KEY, &x) == 1);
    must(EVP_PKEY_get_bn_param(b, OSSL_PKEY_PARAM_PRIV_KEY, &y) == 1);
    must(BN_cmp(x, y) == 0);
    BN_free(x);
    BN_free(y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct keyrecord_ec key;
    const unsigned char *p = data;
    char ours[KEYRECORD_NAME_LEN + 1], theirs[KEYRECORD_NAME_LEN + 1];
    if (!keyrecord_ec_read(data, len, &key))
        return 0;
    must(key.number > data && key.number + key.curve->field_len < data + len);
    must(key.point > data && key.point + 1 + 2 * key.curve->field_len == data + len);
    EVP_PKEY *made = keyrecord_ec_key(&key);
    EVP_PKEY *decoded = d2i_PrivateKey(EVP_PKEY_EC, NULL, &p, (long)len);
    must((made != NULL) == (decoded != NULL));
    if (made != NULL) {
        must(p == data + len && EVP_PKEY_eq(made, decoded) == 1);
        same_number(made, decoded);
        must(keyrecord_ec_name(&key, ours) && keyrecord_name(decoded, theirs) && strcmp(ours, theirs) == 0);
    }
    EVP_PKEY_free(made);
    EVP_PKEY_free(decoded);
    ERR_clear_error();
    return 0;
}
