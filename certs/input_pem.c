// The PEM form: blocks with a label, any number of them.
#include <limits.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "certs/input_parts.h"

struct block {
    char *label;
    char *header; // of the traditional encryption; empty otherwise
    unsigned char *data;
    long len;
    long room; // as decoded: decryption shortens it
};

static int give_passphrase(char *buf, int size, int writing, void *arg)
{
    const struct passphrase *pass = arg;
    (void)writing;
    if (pass->text == NULL || size < 0 || pass->len > (size_t)size)
        return -1;
    memcpy(buf, pass->text, pass->len);
    return (int)pass->len;
}

static bool is_encrypted(const struct block *b)
{
    return strstr(b->header, "ENCRYPTED") != NULL;
}

// The traditional encryption of PKCS#1 and SEC1 keys (RFC 1421 headers).
static bool decrypt_block(const struct input *in, struct block *b)
{
    EVP_CIPHER_INFO cipher;
    if (!is_encrypted(b))
        return true;
    if (in->passphrase->text == NULL) {
        input_fault(in, "encrypted, and no passphrase was given (--passphrase-file)");
        return false;
    }
    // PEM_do_header() takes the address of the passphrase structure as it is and does not change it.
    if (PEM_get_EVP_CIPHER_INFO(b->header, &cipher) == 1 &&
        PEM_do_header(&cipher, b->data, &b->len, give_passphrase, (void *)(uintptr_t)in->passphrase) == 1)
        return true;
    if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_UNSUPPORTED_ENCRYPTION)
        input_fault_openssl(in, "encrypted private key");
    else
        input_fault_decrypt(in);
    return false;
}

static void key_block(const struct input *in, struct block *b, int type)
{
    if (in->sink->key != NULL && decrypt_block(in, b))
        input_plain_key(in, type, b->data, (size_t)b->len);
}

static void handle_block(const struct input *in, struct block *b)
{
    static const struct {
        const char *label;
        int type;
    } keys[] = {
        {PEM_STRING_PKCS8INF, EVP_PKEY_NONE},
        {PEM_STRING_RSA, EVP_PKEY_RSA},
        {PEM_STRING_ECPRIVATEKEY, EVP_PKEY_EC},
        {PEM_STRING_DSA, EVP_PKEY_DSA},
    };
    size_t len = (size_t)b->len;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(b->label, keys[i].label) == 0) {
            key_block(in, b, keys[i].type);
            return;
        }
    if (strcmp(b->label, PEM_STRING_X509) == 0 || strcmp(b->label, PEM_STRING_X509_OLD) == 0)
        input_cert(in, b->data, len, false);
    else if (strcmp(b->label, PEM_STRING_X509_TRUSTED) == 0)
        input_cert(in, b->data, len, true);
    else if (strcmp(b->label, PEM_STRING_PKCS8) == 0)
        input_encrypted_key(in, b->data, len);
    else if (strcmp(b->label, "OPENSSH PRIVATE KEY") == 0)
        input_fault(in, "a key in OpenSSH's own form; convert a copy with `ssh-keygen -p -m PKCS8 -f COPY`");
    else if (strstr(b->label, "PRIVATE KEY") != NULL)
        input_fault(in, "a private key in a form that is not known here");
}

static void free_block(struct block *b)
{
    OPENSSL_secure_free(b->label);
    OPENSSL_secure_free(b->header);
    OPENSSL_secure_clear_free(b->data, (size_t)b->room);
}

void input_pem(const struct input *in, const uint8_t *data, size_t len)
{
    BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(data, (int)len) : NULL;
    if (bio == NULL) {
        input_fault(in, "out of memory");
        return;
    }
    struct block b = {NULL, NULL, NULL, 0, 0};
    while (PEM_read_bio_ex(bio, &b.label, &b.header, &b.data, &b.len,
                           PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE) == 1) {
        b.room = b.len;
        handle_block(in, &b);
        free_block(&b);
        b = (struct block){NULL, NULL, NULL, 0, 0};
        ERR_clear_error();
    }
    // A block whose end or Base64 is broken also hides where the next one starts.
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        input_fault_openssl(in, "damaged PEM");
    ERR_clear_error();
    BIO_free(bio);
}
