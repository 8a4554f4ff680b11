#include "certs/x509make.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <openssl/bn.h>
#include <openssl/err.h>

#define SERIAL_BITS   127      // positive, and 16 bytes in DER (RFC 5280 section 4.1.2.2 allows 20)
#define CLOCK_SLACK_S (5 * 60) // peers whose clocks are a little behind take it at once

// ---- names

static bool is_dns_label(const char *label, size_t len)
{
    if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)label[i]) && label[i] != '-')
            return false;
    return true;
}

static bool is_dns_name(const char *name)
{
    if (strlen(name) > 253)
        return false;
    if (strncmp(name, "*.", 2) == 0)
        name += 2;
    for (;;) {
        size_t len = strcspn(name, ".");
        if (!is_dns_label(name, len))
            return false;
        if (name[len] == '\0')
            return true;
        name += len + 1;
    }
}

// A scheme and "://", or "urn:" (RFC 3986 section 3.1): "localhost:8443" is a mistake and no URI.
static bool is_uri(const char *name)
{
    size_t scheme = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    if (scheme == 0 || !isalpha((unsigned char)name[0]) || strlen(name) > 255 ||
        (strncmp(name + scheme, "://", 3) != 0 && strncasecmp(name, "urn:", 4) != 0))
        return false;
    for (const char *p = name; *p != '\0'; p++)
        if (*p <= 0x20 || *p >= 0x7f || strchr("\"<>\\^`{|}", *p) != NULL)
            return false;
    return true;
}

static GENERAL_NAME *general_name(int type, const void *value, size_t len)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *string = ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    if (name == NULL || string == NULL || ASN1_STRING_set(string, value, (int)len) != 1) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(string);
        return NULL;
    }
    GENERAL_NAME_set0_value(name, type, string);
    return name;
}

bool x509make_add_name(GENERAL_NAMES **names, const char *name, struct error *e)
{
    unsigned char ip[16];
    GENERAL_NAME *general = NULL;
    if (inet_pton(AF_INET, name, ip) == 1)
        general = general_name(GEN_IPADD, ip, 4);
    else if (inet_pton(AF_INET6, name, ip) == 1)
        general = general_name(GEN_IPADD, ip, 16);
    else if (is_uri(name))
        general = general_name(GEN_URI, name, strlen(name));
    else if (is_dns_name(name))
        general = general_name(GEN_DNS, name, strlen(name));
    else {
        error_set(e, "\"%.80s\" is no name for a certificate: expected a DNS name, an IP address or a URI",
                  name);
        return false;
    }
    if (*names == NULL)
        *names = GENERAL_NAMES_new();
    if (general == NULL || *names == NULL || sk_GENERAL_NAME_push(*names, general) <= 0) {
        GENERAL_NAME_free(general);
        error_set(e, "out of memory");
        return false;
    }
    return true;
}

static bool has_name(const GENERAL_NAMES *names, const GENERAL_NAME *wanted)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(names, i), (GENERAL_NAME *)(uintptr_t)wanted) == 0)
            return true;
    return false;
}

bool x509make_has_names(X509 *cert, const GENERAL_NAMES *wanted)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool all = true;
    for (int i = 0; i < sk_GENERAL_NAME_num(wanted); i++)
        all = all && has_name(names, sk_GENERAL_NAME_value(wanted, i));
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return all;
}

// ---- parts of a certificate

static bool set_serial(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool ok = number != NULL && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

static bool set_subject(X509 *cert, const char *common_name)
{
    char cut[65]; // ub-common-name
    (void)snprintf(cut, sizeof cut, "%s", common_name);
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8, (unsigned char *)cut,
                                      -1, -1, 0) == 1;
}

static bool set_dates(X509 *cert, const struct x509make_request *r)
{
    if (X509_gmtime_adj(X509_getm_notBefore(cert), -CLOCK_SLACK_S) == NULL ||
        X509_time_adj_ex(X509_getm_notAfter(cert), (int)r->days, 0, NULL) == NULL)
        return false;
    // A certificate that outlives its issuer would stop to be valid before the date it says.
    if (r->issuer != NULL && ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(r->issuer)) > 0)
        return X509_set1_notAfter(cert, X509_get0_notAfter(r->issuer)) == 1;
    return true;
}

static bool add_extensions(X509 *cert, const struct x509make_request *r)
{
    static const struct {
        int nid;
        const char *value[3]; // by use; NULL: not there
    } fixed[] = {
        {NID_basic_constraints, {"critical,CA:TRUE,pathlen:0", "critical,CA:FALSE", "critical,CA:FALSE"}},
        {NID_key_usage,
         {"critical,keyCertSign,cRLSign", "critical,digitalSignature", "critical,digitalSignature"}},
        {NID_ext_key_usage, {NULL, "serverAuth", "clientAuth"}},
        {NID_subject_key_identifier, {"hash", "hash", "hash"}},
        {NID_authority_key_identifier, {NULL, "keyid:always", "keyid:always"}},
    };
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, r->issuer != NULL ? r->issuer : cert, cert, NULL, NULL, 0);
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        const char *value = fixed[i].value[r->use];
        if (value == NULL)
            continue;
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, fixed[i].nid, value);
        bool ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
        X509_EXTENSION_free(extension);
        if (!ok)
            return false;
    }
    // Not through text, in which a name could smuggle in others.
    return r->names == NULL || X509_add1_ext_i2d(cert, NID_subject_alt_name, (void *)(uintptr_t)r->names, 0,
                                                 X509V3_ADD_DEFAULT) == 1;
}

X509 *x509make(const struct x509make_request *r, struct error *e)
{
    X509 *cert = X509_new();
    if (cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        set_subject(cert, r->common_name) && set_dates(cert, r) && X509_set_pubkey(cert, r->key) == 1 &&
        X509_set_issuer_name(cert, X509_get_subject_name(r->issuer != NULL ? r->issuer : cert)) == 1 &&
        add_extensions(cert, r) && X509_sign(cert, r->issuer_key, EVP_sha256()) > 0)
        return cert;
    error_set_openssl(e, "make the certificate of %.80s", r->common_name);
    X509_free(cert);
    return NULL;
}
