// The structure of what an edge wants signed or decrypted. Nothing is signed but a parsed, well-formed
// structure: else the key server would sign whatever an edge hands it (PROTOCOLS: signing oracle,
// cross-protocol use).
//
//   ECDHE up to TLS 1.2 (RFC 8422 section 5.4): ClientRandom (32) | ServerRandom (32) | 3 (named_curve) |
//   curve (2) | length (1) | point
//       X25519 100 bytes, X448 124, P-256 133, P-384 165, P-521 201
//   TLS 1.3 (RFC 8446 section 4.4.3): 64 x 0x20 | "TLS 1.3, server CertificateVerify" | 0 | transcript hash
//   (32 or 48) RSA (RFC 5246 section 7.4.7.1): EncryptedPreMasterSecret, as long as the modulus (that is
//   checked with the key at hand)
#ifndef MEC_KEYSERVER_SKI_INPUT_H
#define MEC_KEYSERVER_SKI_INPUT_H

#include <stdbool.h>

#include "keyserver/ski.h"

// Whether request->input is a well-formed input of its method and protocol. For the NIST curves the point
// must be uncompressed and on the curve. Any thread.
bool ski_input_check(const struct ski_request *request);

#endif
