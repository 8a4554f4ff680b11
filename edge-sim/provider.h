// An OpenSSL 3 provider, "ski", whose keys are site certificates and whose private operations are done by a
// key server.
//
// libssl is given an EVP_PKEY of this provider in place of a private key and goes on as always: it asks for
// an RSA decryption of a premaster secret (TLS 1.2, RSA key exchange) or a signature over the ECDHE
// parameters (TLS 1.2) or the CertificateVerify content (TLS 1.3); the provider turns that into a SKI request
// and hands it to the transport.
//
//   - In an OpenSSL ASYNC job (SSL_MODE_ASYNC) the job pauses until the answer is there; its wait descriptor becomes
//     readable. Outside a job the thread waits.
//   - A signature is verified against the certificate's public key before it is used; a wrong one is an error.
//   - An RSA decryption never fails towards TLS: on any trouble it yields 48 random bytes behind the client's version, and
//     the handshake ends at Finished, as it does for a wrong premaster.
//
// Keys: RSA and EC over P-256, P-384, P-521. Only whole messages are signed: SKI does not sign bare digests.
// The default provider is loaded beside it and keeps precedence for everything but these keys.
#ifndef MEC_EDGE_SIM_PROVIDER_H
#define MEC_EDGE_SIM_PROVIDER_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/report.h"
#include "edge-sim/ski_transport.h"

struct ski_provider;

// libctx NULL: the default one. The transport must outlive every key. timeout_ms 0: the transport's own. Call
// it before threads use the library context. NULL and *e set on failure.
struct ski_provider *ski_provider_load(OSSL_LIB_CTX *libctx, struct ski_transport *transport,
                                       unsigned timeout_ms, struct error *e);
// After every key and every SSL_CTX that holds one is freed. Sets *provider to NULL; NULL is fine.
void ski_provider_unload(struct ski_provider **provider);

// A key whose public half is the certificate's and whose private half is at the key server. The caller frees
// it with EVP_PKEY_free(). NULL and *e set for a certificate with a key of another type. Any thread.
EVP_PKEY *ski_provider_key(struct ski_provider *provider, X509 *cert, struct error *e);

// Base64 of SHA-256 over the certificate's SubjectPublicKeyInfo as it stands in the certificate (RFC 7469).
bool ski_spki_of(X509 *cert, char text[static SKI_SPKI_TEXT]);

#endif
