// What all forms of input come down to: one certificate, one key, one fault.
#include "certs/input.h"

#include <stdio.h>
#include <string.h>
#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "certs/input_parts.h"
#include "common/keyrecord.h"
#include "common/report.h"

int64_t input_max_rounds = 10000000;

void input_fault(const struct input *in, const char *why)
{
    ERR_clear_error();
    if (in->sink->fault != NULL)
        in->sink->fault(in->sink->arg, why);
}

void input_fault_openssl(const struct input *in, const char *what)
{
    struct error e;
    error_set_openssl(&e, "%s", what);
    input_fault(in, e.text);
}

void input_cert(const struct input *in, const uint8_t *der, size_t len, bool trusted)
{
    if (in->sink->cert == NULL)
        return;
    const unsigned char *p = der;
    X509 *cert = trusted ? d2i_X509_AUX(NULL, &p, (long)len) : d2i_X509(NULL, &p, (long)len);
    if (cert != NULL && p == der + len)
        in->sink->cert(in->sink->arg, cert);
    else
        input_fault_openssl(in, "damaged certificate");
    X509_free(cert);
}

// A decoder that has to try all types takes three times as long as one that knows it: PKCS#8 says it.
static EVP_PKEY *decode_any(const unsigned char **p, size_t len)
{
    const unsigned char *der = *p;
    int type = keyrecord_declared_type(der, len);
    EVP_PKEY *key = type != EVP_PKEY_NONE ? d2i_PrivateKey(type, NULL, p, (long)len) : NULL;
    if (key != NULL)
        return key;
    ERR_clear_error();
    *p = der;
    return d2i_AutoPrivateKey(NULL, p, (long)len);
}

void input_plain_key(const struct input *in, int type, const uint8_t *der, size_t len)
{
    if (in->sink->key == NULL)
        return;
    const unsigned char *p = der;
    EVP_PKEY *key = type != EVP_PKEY_NONE ? d2i_PrivateKey(type, NULL, &p, (long)len) : decode_any(&p, len);
    if (key != NULL && p == der + len)
        in->sink->key(in->sink->arg, key);
    else
        input_fault_openssl(in, "damaged private key");
    EVP_PKEY_free(key);
    ERR_clear_error(); // the decoders leave traces of what they tried
}

// ---- encrypted PKCS#8

bool input_kdf_bearable(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *oid = NULL;
    int type = 0;
    const void *parameters = NULL;
    X509_ALGOR_get0(&oid, &type, &parameters, algorithm);
    if (type != V_ASN1_SEQUENCE)
        return true;
    const ASN1_INTEGER *rounds = NULL;
    PBE2PARAM *pbe2 = NULL;
    PBKDF2PARAM *pbkdf2 = NULL;
    PBEPARAM *pbe = NULL;
    if (OBJ_obj2nid(oid) == NID_pbes2) {
        pbe2 = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), algorithm->parameter);
        if (pbe2 != NULL && OBJ_obj2nid(pbe2->keyfunc->algorithm) == NID_id_pbkdf2)
            pbkdf2 = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), pbe2->keyfunc->parameter);
        rounds = pbkdf2 != NULL ? pbkdf2->iter : NULL; // scrypt has a bound of its own within OpenSSL
    } else {
        pbe = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), algorithm->parameter);
        rounds = pbe != NULL ? pbe->iter : NULL;
    }
    int64_t count = 0;
    bool ok = rounds == NULL || (ASN1_INTEGER_get_int64(&count, rounds) == 1 && count <= input_max_rounds);
    PBEPARAM_free(pbe);
    PBKDF2PARAM_free(pbkdf2);
    PBE2PARAM_free(pbe2);
    ERR_clear_error();
    return ok;
}

void input_fault_decrypt(const struct input *in)
{
    bool unsupported = false;
    for (unsigned long code; (code = ERR_get_error()) != 0;) {
        int reason = ERR_GET_REASON(code);
        if (reason == ERR_R_UNSUPPORTED ||
            (ERR_GET_LIB(code) == ERR_LIB_EVP &&
             (reason == EVP_R_UNKNOWN_PBE_ALGORITHM || reason == EVP_R_UNSUPPORTED_CIPHER ||
              reason == EVP_R_UNKNOWN_CIPHER)))
            unsupported = true;
    }
    input_fault(in, unsupported
                        ? "encrypted in a way that OpenSSL does not support here; encrypt it anew, as with "
                          "`openssl pkcs8 -topk8 -v2 aes-256-cbc`"
                        : "the passphrase does not open it");
}

void input_decrypt_key(const struct input *in, const X509_SIG *sealed, const char *pass, int pass_len)
{
    const X509_ALGOR *algorithm = NULL;
    X509_SIG_get0(sealed, &algorithm, NULL);
    if (!input_kdf_bearable(algorithm)) {
        input_fault(
            in, "encrypted with an unreasonable number of key derivation rounds (expected at most 10000000)");
        return;
    }
    PKCS8_PRIV_KEY_INFO *p8 = PKCS8_decrypt(sealed, pass, pass_len);
    EVP_PKEY *key = p8 != NULL ? EVP_PKCS82PKEY(p8) : NULL;
    if (key != NULL)
        in->sink->key(in->sink->arg, key);
    else if (p8 != NULL)
        input_fault_openssl(in, "damaged private key");
    else
        input_fault_decrypt(in);
    EVP_PKEY_free(key);
    PKCS8_PRIV_KEY_INFO_free(p8);
    ERR_clear_error();
}

void input_encrypted_key(const struct input *in, const uint8_t *der, size_t len)
{
    if (in->sink->key == NULL)
        return;
    const unsigned char *p = der;
    X509_SIG *sealed = d2i_X509_SIG(NULL, &p, (long)len);
    if (sealed == NULL || p != der + len)
        input_fault_openssl(in, "damaged encrypted private key");
    else if (in->passphrase->text == NULL)
        input_fault(in, "encrypted, and no passphrase was given (--passphrase-file)");
    else
        input_decrypt_key(in, sealed, in->passphrase->text, (int)in->passphrase->len);
    X509_SIG_free(sealed);
}

void input_parse(const uint8_t *data, size_t len, const struct passphrase *passphrase,
                 const struct input_sink *sink)
{
    const struct input in = {passphrase, sink};
    if (memmem(data, len, "-----BEGIN ", 11) != NULL)
        input_pem(&in, data, len);
    else if (len > 0 && data[0] == 0x30)
        input_der(&in, data, len);
}
