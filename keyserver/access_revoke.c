#include "keyserver/access_revoke.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "common/log.h"
#include "keyserver/access_edge.h"

// ---- one CRL

static bool is_signed(X509_CRL *crl, STACK_OF(X509) * cas)
{
    bool good = false;
    for (int i = 0; !good && i < sk_X509_num(cas); i++) {
        X509 *ca = sk_X509_value(cas, i);
        EVP_PKEY *key = X509_get0_pubkey(ca);
        good = X509_NAME_cmp(X509_get_subject_name(ca), X509_CRL_get_issuer(crl)) == 0 &&
               (X509_get_key_usage(ca) & X509v3_KU_CRL_SIGN) != 0 && key != NULL &&
               X509_CRL_verify(crl, key) == 1;
    }
    ERR_clear_error();
    return good;
}

// RFC 5280 section 5.2.5: an indirect CRL says so in its issuing distribution point.
static bool is_indirect(const X509_CRL *crl)
{
    int critical = -1;
    ISSUING_DIST_POINT *point = X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, &critical, NULL);
    bool indirect = point != NULL ? point->indirectCRL > 0 : critical != -1;
    ISSUING_DIST_POINT_free(point);
    return indirect;
}

static void warn_of_dates(const X509_CRL *crl, const char *path)
{
    char quoted[1024];
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
    if (next != NULL && X509_cmp_current_time(next) < 0)
        log_warn("crl_out_of_date",
                 "file=%s note=\"past its nextUpdate: used, but newer revocations are missed\"",
                 log_quote(path, quoted, sizeof quoted));
    if (X509_cmp_current_time(X509_CRL_get0_lastUpdate(crl)) > 0)
        log_warn("crl_not_yet_valid", "file=%s note=\"its lastUpdate is to come: used\"",
                 log_quote(path, quoted, sizeof quoted));
}

static bool take_crl(struct access_revocations *r, X509_CRL *crl, const char *path, STACK_OF(X509) * cas,
                     struct error *e)
{
    char issuer[200];
    (void)X509_NAME_oneline(X509_CRL_get_issuer(crl), issuer, sizeof issuer);
    if (!is_signed(crl, cas))
        error_set(e, "%s: found a CRL of %s, expected one signed by an authority of --client-ca", path,
                  issuer);
    else if (X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0 || is_indirect(crl))
        error_set(e, "%s: found a delta or indirect CRL, expected a complete one", path);
    else if ((r->crls == NULL && (r->crls = sk_X509_CRL_new_null()) == NULL) ||
             sk_X509_CRL_push(r->crls, crl) <= 0)
        error_set(e, "%s: out of memory", path);
    else {
        warn_of_dates(crl, path);
        return true;
    }
    X509_CRL_free(crl);
    return false;
}

// ---- a file of them

static bool at_end_of_pem(void)
{
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

static bool add_pem(struct access_revocations *r, BIO *in, const char *path, STACK_OF(X509) * cas,
                    unsigned *count, struct error *e)
{
    X509_CRL *crl;
    ERR_clear_error();
    for (*count = 0; (crl = PEM_read_bio_X509_CRL(in, NULL, NULL, NULL)) != NULL; (*count)++)
        if (!take_crl(r, crl, path, cas, e))
            return false;
    if (at_end_of_pem()) {
        ERR_clear_error();
        return true;
    }
    error_set_openssl(e, "%s: CRL %u", path, *count + 1);
    return false;
}

bool access_revoke_add_crls(struct access_revocations *r, const char *path, STACK_OF(X509) * cas,
                            struct error *e)
{
    unsigned count = 0;
    ERR_clear_error();
    BIO *in = BIO_new_file(path, "rb");
    if (in == NULL) {
        error_set_openssl(e, "%s", path);
        return false;
    }
    bool good = add_pem(r, in, path, cas, &count, e);
    if (good && count == 0) {
        (void)BIO_reset(in);
        X509_CRL *crl = d2i_X509_CRL_bio(in, NULL);
        ERR_clear_error();
        good = crl != NULL && take_crl(r, crl, path, cas, e);
        if (crl == NULL)
            error_set(e, "%s: found no CRL, expected PEM (-----BEGIN X509 CRL-----) or DER", path);
    }
    BIO_free(in);
    return good;
}

// ---- public keys

bool access_revoke_add_spki(struct access_revocations *r, const char spki[static KEYRECORD_NAME_LEN + 1])
{
    void *grown = realloc((void *)r->spkis, (r->spki_count + 1) * sizeof *r->spkis);
    if (grown == NULL)
        return false;
    r->spkis = grown;
    memcpy(r->spkis[r->spki_count++], spki, KEYRECORD_NAME_LEN + 1);
    return true;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

void access_revoke_sort(struct access_revocations *r)
{
    if (r->spki_count > 0)
        qsort((void *)r->spkis, r->spki_count, sizeof *r->spkis, compare);
}

void access_revoke_release(struct access_revocations *r)
{
    sk_X509_CRL_pop_free(r->crls, X509_CRL_free);
    free((void *)r->spkis);
    memset(r, 0, sizeof *r);
}

// ---- questions

size_t access_revoke_count(const struct access_revocations *r)
{
    size_t count = r->spki_count;
    for (int i = 0; i < sk_X509_CRL_num(r->crls); i++) {
        int entries = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(sk_X509_CRL_value(r->crls, i)));
        count += entries > 0 ? (size_t)entries : 0;
    }
    return count;
}

static bool spki_revoked(const struct access_revocations *r, X509 *cert)
{
    char name[KEYRECORD_NAME_LEN + 1];
    if (r->spki_count == 0)
        return false;
    return !access_edge_spki(cert, name) || // what cannot be looked up is not trusted
           bsearch(name, (const void *)r->spkis, r->spki_count, sizeof *r->spkis, compare) != NULL;
}

bool access_revoke_has(const struct access_revocations *r, X509 *cert)
{
    X509_REVOKED *entry;
    for (int i = 0; i < sk_X509_CRL_num(r->crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(r->crls, i);
        // X509_CRL_get0_by_cert() compares issuers only of entries that name one.
        if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(cert)) == 0 &&
            X509_CRL_get0_by_cert(crl, &entry, cert) == 1)
            return true;
    }
    return spki_revoked(r, cert);
}
