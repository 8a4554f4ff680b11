#include "certs/certinfo.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

// Length of the well-formed UTF-8 character at s (within len bytes) that a terminal shows as a character; 0
// otherwise.
static size_t printable_len(const unsigned char *s, size_t len)
{
    if (s[0] < 0x80)
        return s[0] >= 0x20 && s[0] != 0x7f;
    size_t want = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
                  : (s[0] & 0xf0) == 0xe0        ? 3
                  : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                                 : 0;
    if (want == 0 || want > len)
        return 0;
    uint32_t c = s[0] & (0xffu >> (want + 1));
    for (size_t i = 1; i < want; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool control = c < 0xa0 || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
                   (c >= 0x2060 && c <= 0x206f) || c == 0xfeff; // C1 controls; marks that turn text around
    bool surrogate = c >= 0xd800 && c <= 0xdfff;
    return c < least[want] || c > 0x10ffff || surrogate || control ? 0 : want;
}

static void copy_printable(const unsigned char *from, size_t len, char to[static 256])
{
    size_t out = 0;
    for (size_t i = 0; i < len;) {
        size_t n = printable_len(from + i, len - i);
        if (out + (n != 0 ? n : 1) > 255)
            break;
        if (n == 0) {
            to[out++] = '?';
            i++;
        } else {
            memcpy(to + out, from + i, n);
            out += n;
            i += n;
        }
    }
    to[out] = '\0';
}

static bool name_from_ip(const ASN1_OCTET_STRING *ip, char name[static 256])
{
    int len = ASN1_STRING_length(ip);
    int family = len == 4 ? AF_INET : len == 16 ? AF_INET6 : -1;
    return family >= 0 && inet_ntop(family, ASN1_STRING_get0_data(ip), name, 256) != NULL;
}

// The first alternative name of a type.
static bool name_from_san(const GENERAL_NAMES *names, int type, char name[static 256])
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type != type)
            continue;
        if (type == GEN_IPADD)
            return name_from_ip(n->d.iPAddress, name);
        copy_printable(ASN1_STRING_get0_data(n->d.dNSName), (size_t)ASN1_STRING_length(n->d.dNSName), name);
        return name[0] != '\0';
    }
    return false;
}

static bool name_from_subject(X509 *cert, char name[static 256])
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0)
        return false;
    unsigned char *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (len > 0)
        copy_printable(utf8, (size_t)len, name);
    OPENSSL_free(utf8);
    return len > 0;
}

void certinfo_name(X509 *cert, char name[static 256])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    if (!name_from_san(names, GEN_DNS, name) && !name_from_san(names, GEN_IPADD, name) &&
        !name_from_subject(cert, name))
        strcpy(name, "-");
    GENERAL_NAMES_free(names);
    ERR_clear_error();
}

static bool read_not_after(X509 *cert, uint64_t *seconds)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
        return false;
    time_t t = timegm(&tm);
    *seconds = t < 0 ? 0 : (uint64_t)t;
    return true;
}

// The fingerprint of the SubjectPublicKeyInfo exactly as it stands in the certificate (RFC 7469).
static bool spki_as_written(X509 *cert, char name[static KEYRECORD_NAME_LEN + 1])
{
    unsigned char *der = NULL, hash[SHA256_DIGEST_LENGTH];
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    bool ok = len > 0 && SHA256(der, (size_t)len, hash) != NULL &&
              EVP_EncodeBlock((unsigned char *)name, hash, sizeof hash) == KEYRECORD_NAME_LEN;
    OPENSSL_free(der);
    return ok;
}

bool certinfo_read(X509 *cert, struct certinfo *info)
{
    memset(info, 0, sizeof *info);
    unsigned len = 0;
    char written[KEYRECORD_NAME_LEN + 1];
    EVP_PKEY *key = X509_get0_pubkey(cert);
    bool ok = key != NULL && X509_digest(cert, EVP_sha1(), info->entry.sha1, &len) == 1 &&
              len == sizeof info->entry.sha1 && read_not_after(cert, &info->entry.not_after) &&
              spki_as_written(cert, written);
    if (ok) {
        certinfo_name(cert, info->entry.name);
        info->ca = X509_check_ca(cert) == 1;
        if (!keyrecord_name(key, info->spki))
            info->spki[0] = '\0';
        info->usual_form = strcmp(written, info->spki) == 0;
    }
    ERR_clear_error();
    return ok;
}

char *certinfo_time(uint64_t seconds, char buf[static CERTINFO_TIME_LEN])
{
    struct tm tm;
    time_t t = (time_t)seconds;
    if (seconds > INT64_MAX / 2 || gmtime_r(&t, &tm) == NULL || tm.tm_year > 8099 ||
        strftime(buf, CERTINFO_TIME_LEN, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        strcpy(buf, "-");
    return buf;
}

char *certinfo_date(uint64_t seconds, char buf[static CERTINFO_TIME_LEN])
{
    (void)certinfo_time(seconds, buf);
    buf[strcspn(buf, "T")] = '\0';
    return buf;
}
