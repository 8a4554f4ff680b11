// What the files of input share among themselves. Nobody else includes this.
#ifndef MEC_CERTS_INPUT_PARTS_H
#define MEC_CERTS_INPUT_PARTS_H

#include <openssl/pkcs12.h>

#include "certs/input.h"

struct input {
    const struct passphrase *passphrase;
    const struct input_sink *sink;
};

void input_fault(const struct input *in, const char *why);
// As input_fault(), with the oldest reason in OpenSSL's queue, which it empties.
void input_fault_openssl(const struct input *in, const char *what);

// Each object must fill its bytes exactly.
void input_cert(const struct input *in, const uint8_t *der, size_t len, bool trusted);
void input_plain_key(const struct input *in, int type, const uint8_t *der,
                     size_t len); // EVP_PKEY_NONE: by its form
void input_encrypted_key(const struct input *in, const uint8_t *der, size_t len);
// Any passphrase-encrypted PKCS#8, as it stands in files and in PKCS#12 bags.
void input_decrypt_key(const struct input *in, const X509_SIG *sealed, const char *pass, int pass_len);
void input_pkcs12(const struct input *in, const uint8_t *der, size_t len);

void input_pem(const struct input *in, const uint8_t *data, size_t len);
void input_der(const struct input *in, const uint8_t *data, size_t len);

// Whether the work that an encrypted object asks for before its passphrase can be tried is bearable: a file
// of some hundred bytes may ask for hours. An algorithm that we do not know passes; OpenSSL will refuse it.
bool input_kdf_bearable(const X509_ALGOR *algorithm);
extern int64_t input_max_rounds; // 10 million, some seconds; fuzzing lowers it

// Says why decryption failed, from OpenSSL's queue, which it empties.
void input_fault_decrypt(const struct input *in);

#endif
