#include "keyserver/access_edge.h"

#include <string.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <xxhash.h>

const char *access_identity_word(enum access_identity kind)
{
    static const char *const words[ACCESS_IDENTITIES] = {"uri", "dns", "subject", "spki"};
    return words[kind];
}

bool access_edge_add(struct access_edge *edge, enum access_identity kind, const char *text, size_t len)
{
    bool good = len > 0 && len + 2 <= sizeof edge->text - edge->len;
    for (size_t i = 0; good && i < len; i++)
        good = text[i] >= 0x20 && text[i] < 0x7f;
    if (!good) {
        edge->unusable = true;
        return false;
    }
    char *to = edge->text + edge->len;
    *to++ = (char)kind;
    for (size_t i = 0; i < len; i++)
        to[i] = kind == ACCESS_DNS && text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
    to[len] = '\0';
    edge->len += len + 2;
    edge->count++;
    return true;
}

bool access_edge_next(const struct access_edge *edge, size_t *at, enum access_identity *kind,
                      const char **text)
{
    if (*at >= edge->len)
        return false;
    *kind = (enum access_identity)edge->text[*at];
    *text = edge->text + *at + 1;
    *at += strlen(*text) + 2;
    return true;
}

uint64_t access_edge_id(const struct access_edge *edge)
{
    return edge->count > 0 ? XXH3_64bits(edge->text, strlen(edge->text + 1) + 1) : 0;
}

static void add_alt_names(struct access_edge *edge, const X509 *cert)
{
    int critical = -1;
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);
    if (names == NULL && critical != -1)
        edge->unusable = true; // it is there, twice or not to be read
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type == GEN_URI || type == GEN_DNS)
            (void)access_edge_add(edge, type == GEN_URI ? ACCESS_URI : ACCESS_DNS,
                                  (const char *)ASN1_STRING_get0_data(value),
                                  (size_t)ASN1_STRING_length(value));
    }
    GENERAL_NAMES_free(names);
}

static void add_subject(struct access_edge *edge, const X509 *cert)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    char *text = NULL;
    if (X509_NAME_entry_count(subject) == 0)
        return;
    BIO *out = BIO_new(BIO_s_mem());
    if (out == NULL || X509_NAME_print_ex(out, subject, 0, XN_FLAG_RFC2253) < 0) {
        edge->unusable = true;
    } else {
        long len = BIO_get_mem_data(out, &text);
        (void)access_edge_add(edge, ACCESS_SUBJECT, text, len > 0 ? (size_t)len : 0);
    }
    BIO_free(out);
}

bool access_edge_spki(const X509 *cert, char spki[static KEYRECORD_NAME_LEN + 1])
{
    unsigned char *der = NULL, hash[EVP_MAX_MD_SIZE];
    unsigned hash_len = 0;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    bool good = len > 0 && EVP_Digest(der, (size_t)len, hash, &hash_len, EVP_sha256(), NULL) == 1;
    if (good)
        (void)EVP_EncodeBlock((unsigned char *)spki, hash, (int)hash_len);
    OPENSSL_free(der);
    return good;
}

static void add_spki(struct access_edge *edge, const X509 *cert)
{
    char name[KEYRECORD_NAME_LEN + 1];
    if (access_edge_spki(cert, name))
        (void)access_edge_add(edge, ACCESS_SPKI, name, strlen(name));
    else
        edge->unusable = true;
}

void access_edge_from_cert(struct access_edge *edge, const X509 *cert)
{
    edge->unusable = false;
    edge->migration = false;
    edge->count = 0;
    edge->len = 0;
    add_alt_names(edge, cert);
    add_subject(edge, cert);
    add_spki(edge, cert);
    ERR_clear_error();
}
